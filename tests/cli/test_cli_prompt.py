"""Where a prompt, a schema and a grammar come from, and how they are refused."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from kolo.cli import prompt
from kolo.errors import UsageError

SetStdin = Callable[[bytes], None]


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[SetStdin]:
    """Puts bytes on standard input, as a file."""
    with ExitStack() as opened:

        def put(data: bytes) -> None:
            path = tmp_path / "stdin"
            path.write_bytes(data)
            monkeypatch.setattr("sys.stdin", opened.enter_context(path.open()))

        yield put


@pytest.mark.parametrize(
    ("data", "argument", "text"),
    [
        (b"", "say it", "say it"),
        (b"the input\n", None, "the input"),
        (b"the input\n\n", "say it", "the input\n\nsay it"),
        (b"the input", "say it", "the input\n\nsay it"),
        (b"the input\r\n", "-", "the input"),
        (b"  indented\n", None, "  indented"),
        ("größe\n".encode(), None, "größe"),
    ],
)
def test_input_then_a_blank_line_then_the_argument(
    data: bytes, argument: str | None, text: str, stdin: SetStdin
) -> None:
    stdin(data)
    assert prompt.gather(argument) == text


def test_raw_takes_the_input_as_it_is(stdin: SetStdin) -> None:
    stdin(b"def f():\n")
    assert prompt.gather(None, raw=True) == "def f():\n"


@pytest.mark.parametrize(
    ("data", "argument"), [(b"", None), (b" \n\n", None), (b"", " "), (b"", "")]
)
def test_an_empty_prompt_is_refused(data: bytes, argument: str | None, stdin: SetStdin) -> None:
    stdin(data)
    with pytest.raises(UsageError, match="the prompt is empty"):
        prompt.gather(argument)


def test_closed_input_is_no_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert prompt.gather("say it") == "say it"


def test_input_that_is_not_utf8_names_the_byte(stdin: SetStdin) -> None:
    stdin(b"caf\xe9!")
    with pytest.raises(UsageError, match="standard input is not UTF-8: byte 0xe9 at offset 3"):
        prompt.gather(None)


def test_says_that_it_waits_when_nothing_comes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader) as source:
        monkeypatch.setattr("sys.stdin", source)

        def wait(*_: object) -> tuple[list[int], list[int], list[int]]:
            os.close(writer)
            return [], [], []

        monkeypatch.setattr("select.select", wait)
        assert prompt.gather("say it") == "say it"
    assert "reading the prompt from standard input (</dev/null" in capsys.readouterr().err


def test_a_schema_that_is_not_json_names_the_place(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text('{\n  "type": object\n}')
    with pytest.raises(UsageError, match=r"s\.json is not JSON: line 2, column 11: ") as caught:
        prompt.read_schema(path)
    assert caught.value.param == "--schema"


@pytest.mark.parametrize("text", ["[]", "3", '"object"', "null"])
def test_json_that_is_no_schema(text: str, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="not a JSON Schema: it must be an object, true or false"):
        prompt.read_schema(path)


def test_a_schema(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text('{"type": "object"}')
    assert prompt.read_schema(path) == {"type": "object"}
    path.write_text("true")
    assert prompt.read_schema(path) is True


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--grammar: cannot read .*/no\.gbnf: No such file"):
        prompt.read_grammar(tmp_path / "no.gbnf")
    with pytest.raises(UsageError, match="Is a directory"):
        prompt.read_schema(tmp_path)


def test_a_grammar(tmp_path: Path) -> None:
    path = tmp_path / "g.gbnf"
    path.write_text('root ::= "yes"')
    assert prompt.read_grammar(path) == 'root ::= "yes"'
    path.write_text(" \n")
    with pytest.raises(UsageError, match="is empty"):
        prompt.read_grammar(path)
    path.write_bytes(b"root ::= \xff")
    with pytest.raises(UsageError, match=r"is not UTF-8: byte 0xff at offset 9"):
        prompt.read_grammar(path)
