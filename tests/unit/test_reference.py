from __future__ import annotations

from pathlib import Path

import pytest

from kolo.errors import BadParameter
from kolo.models.reference import HubRef, NameRef, OciRef, PathRef, UrlRef, parse

DIGEST = "sha256:" + "0" * 64


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("hf:o/r", HubRef("o", "r")),
        ("HF:o/r", HubRef("o", "r")),
        ("o/r", HubRef("o", "r")),
        ("o/r:Q4_K_M", HubRef("o", "r", quant="Q4_K_M")),
        ("hf:o/r:UD-Q4_K_XL", HubRef("o", "r", quant="UD-Q4_K_XL")),
        ("hf:o/r/x.gguf", HubRef("o", "r", file="x.gguf")),
        ("hf:o/r/sub/x-00001-of-00002.gguf", HubRef("o", "r", file="sub/x-00001-of-00002.gguf")),
        ("hf:o/r@v1.0:Q8_0", HubRef("o", "r", quant="Q8_0", revision="v1.0")),
        ("hf:o/r@refs/pr/2/x.gguf", HubRef("o", "r", file="x.gguf", revision="refs/pr/2")),
        ("hf.co/o/Qwen2.5-0.5B-GGUF:Q4_0", HubRef("o", "Qwen2.5-0.5B-GGUF", quant="Q4_0")),
        ("https://huggingface.co/o/r", HubRef("o", "r")),
        ("https://huggingface.co/o/r/blob/main/x.gguf", HubRef("o", "r", file="x.gguf")),
        (
            "https://huggingface.co/o/r/resolve/v1/a%20b/x.gguf?download=true",
            HubRef("o", "r", file="a b/x.gguf", revision="v1"),
        ),
        ("ollama:qwen2.5", OciRef("reg:5", "library/qwen2.5", ollama=True)),
        ("ollama:qwen2.5:0.5b", OciRef("reg:5", "library/qwen2.5", "0.5b", ollama=True)),
        ("ollama:Me/mine:x", OciRef("reg:5", "Me/mine", "x", ollama=True)),
        ("oci:localhost:5000/a/b:v1", OciRef("localhost:5000", "a/b", "v1")),
        ("oci:ghcr.io/a", OciRef("ghcr.io", "a")),
        (f"oci:ghcr.io/a@{DIGEST}", OciRef("ghcr.io", "a", digest=DIGEST)),
        ("https://h/x.gguf?sig=1#frag", UrlRef("https://h/x.gguf?sig=1")),
        ("http://127.0.0.1:80/a/x%2Egguf", UrlRef("http://127.0.0.1:80/a/x%2Egguf")),
        ("./o/r", PathRef(Path("o/r"))),
        ("/o/r", PathRef(Path("/o/r"))),
        ("x.gguf", PathRef(Path("x.gguf"))),
        ("a/b/c", PathRef(Path("a/b/c"))),
        ("o/x.gguf", PathRef(Path("o/x.gguf"))),
        ("qwen2.5:0.5b", NameRef("qwen2.5:0.5b")),
        ("https", NameRef("https")),
    ],
)
def test_each_form_is_what_the_grammar_says(text: str, meant: object) -> None:
    assert parse(text, ollama_host="reg:5") == meant


def test_the_home_folder_is_put_in(empty_folder: Path) -> None:
    assert parse("~/x") == PathRef(empty_folder / "x")


def test_what_lies_there_goes_before_the_hub_unless_paths_are_not_allowed(
    empty_folder: Path,
) -> None:
    (empty_folder / "o").mkdir()
    (empty_folder / "o" / "r").touch()
    assert parse("o/r") == PathRef(Path("o/r"))
    assert parse("o/r", may_be_path=False) == HubRef("o", "r")
    assert parse("hf:o/r") == HubRef("o", "r")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\0b",
        "x" * 5000,
        "hf:",
        "hf:owner",
        "hf:o/r:",
        "hf:o/r/x.bin",
        "hf:o/r/../../x.gguf",
        "hf:o/r//x.gguf",
        "hf:../r",
        "hf:o/r/a\x1b[31m.gguf",
        "hf:o/a..b",
        "ollama:",
        "ollama:a b",
        "ollama:../x",
        "oci:a",
        "oci:HOST/UPPER",
        "oci:h/../x",
        "oci:h:99999999/x",
        "https://",
        "https://h/x.bin",
        "https://h/x.gguf y.gguf",
        "https://[::1/x.gguf",
        "https://h:port/x.gguf",
        "https://huggingface.co/o",
        "https://huggingface.co/o/r/tree/main",
    ],
)
def test_a_malformed_reference_is_refused_with_what_was_expected(text: str) -> None:
    with pytest.raises(BadParameter) as caught:
        parse(text)
    assert caught.value.param == "model"
    assert caught.value.hint


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(BadParameter) as caught:
        parse("https://me:hush@h/x.gguf")
    assert "hush" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "hf:o/r",
        "hf:o/r@v1:Q4_0",
        "hf:o/r/sub/x.gguf",
        "ollama:qwen2.5:0.5b",
        "oci:localhost:5000/a/b:v1",
        f"oci:ghcr.io/a@{DIGEST}",
        "https://h/x.gguf",
    ],
)
def test_a_reference_is_written_as_it_is_read(text: str) -> None:
    assert str(parse(text)) == text


def test_a_url_is_shown_without_its_query() -> None:
    assert str(parse("https://h/x.gguf?sig=secret")) == "https://h/x.gguf"
