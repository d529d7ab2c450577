"""``kolo embed``: vectors of texts, locally and by a server, in every form."""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ggufs
import numpy as np
import pytest
from cli_server import Server
from running import Kolo

from kolo.cli import main


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(ggufs.build(tmp_path_factory.mktemp("models"), "bert"))


@pytest.fixture
def server(env: dict[str, str], bert: str) -> Iterator[Server]:
    with Server(env, bert) as running:
        yield running


def vectors(text: str) -> list[list[float]]:
    return [json.loads(line)["embedding"] for line in text.splitlines()]


def test_a_text_is_a_line_with_a_vector_of_unit_length(kolo: Kolo, bert: str) -> None:
    done = kolo("embed", "-m", bert, "hello world", "hello")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["index"] for line in lines] == [0, 1]
    for line in lines:
        assert line.keys() == {"index", "embedding"}
        assert math.hypot(*line["embedding"]) == pytest.approx(1)
    assert lines[0]["embedding"] != lines[1]["embedding"]


def test_a_server_gives_the_same(kolo: Kolo, bert: str, server: Server) -> None:
    texts = [f"hello {index}" for index in range(40)]
    here = vectors(kolo("embed", "-m", bert, "--local", *texts).stdout)
    there = vectors(kolo("embed", "-m", bert, "--url", server.url, *texts).stdout)
    by_name = vectors(kolo("embed", "-m", "bert", "--url", server.url, *texts).stdout)
    assert len(here) == 40
    np.testing.assert_allclose(here, there, atol=1e-4)
    np.testing.assert_allclose(there, by_name, atol=1e-4)


def test_every_form_holds_the_same_numbers(kolo: Kolo, bert: str, tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("hello\n\nworld\n")
    asked = ["embed", "-m", bert, "--lines", "--file", "lines"]
    plain = vectors(kolo(*asked).stdout)
    document = json.loads(kolo(*asked, "--json").stdout)
    assert document["embeddings"] == plain
    assert document["dimensions"] == len(plain[0])
    assert document["model"] == bert
    assert document["prompt_tokens"] > 2
    rows = np.loadtxt(io.StringIO(kolo(*asked, "-o", "csv").stdout), delimiter=",")
    np.testing.assert_array_equal(rows, plain)
    assert kolo(*asked, "-o", "json").stdout == kolo(*asked, "--json").stdout


def test_npy_is_read_by_numpy(env: dict[str, str], bert: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kolo", "embed", "-m", bert, "-o", "npy", "hello", "world"],
        env=env,
        capture_output=True,
        timeout=60,
        check=True,
    )
    matrix = np.load(io.BytesIO(done.stdout))
    assert matrix.dtype == np.float32
    assert matrix.shape[0] == 2
    np.testing.assert_allclose(np.linalg.norm(matrix, axis=1), 1, atol=1e-5)


def test_input_is_one_text_or_with_lines_many(kolo: Kolo, bert: str) -> None:
    text = "hello\nworld\n"
    (whole,) = vectors(kolo("embed", "-m", bert, stdin=text).stdout)
    (named,) = vectors(kolo("embed", "-m", bert, "-", stdin=text).stdout)
    assert whole == named
    assert len(vectors(kolo("embed", "-m", bert, "--lines", stdin=text).stdout)) == 2
    assert len(vectors(kolo("embed", "-m", bert, "hi", stdin=text).stdout)) == 1


def test_fewer_dimensions_are_the_first_ones_at_unit_length(kolo: Kolo, bert: str) -> None:
    (whole,) = vectors(kolo("embed", "-m", bert, "hello").stdout)
    (cut,) = vectors(kolo("embed", "-m", bert, "hello", "--dimensions", "4").stdout)
    length = math.hypot(*whole[:4])
    assert cut == pytest.approx([value / length for value in whole[:4]])
    done = kolo("embed", "-m", bert, "hello", "--dimensions", "5000")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"dimensions is 5000, the model's vectors have {len(whole)}" in done.stderr


def test_a_model_that_gives_none_is_said_so(
    kolo: Kolo, env: dict[str, str], tmp_path: Path
) -> None:
    scorer = str(ggufs.build(tmp_path, "reranker"))
    with Server(env, scorer) as server:
        tried = [
            kolo("embed", "-m", scorer, "hello", *where)
            for where in (["--local"], ["--url", server.url])
        ]
    for done in tried:
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("error: this model cannot embed")
        assert "try: load an embedding model" in done.stderr


def test_lines_with_ids_go_into_a_file_and_on(kolo: Kolo, bert: str, tmp_path: Path) -> None:
    lines: list[Any] = ["hello", {"id": "b", "text": "world"}, {"input": "x"}, {"txt": "y"}, 5]
    (tmp_path / "in").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    asked = ["embed", "-m", bert, "--jsonl", "in", "--out", "out", "--dimensions", "8"]
    done = kolo(*asked)
    assert (done.returncode, done.stdout) == (8, "")
    found = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert [each["index"] for each in found] == [0, 1, 2, 3, 4]
    assert found[1]["id"] == "b"
    assert [len(each["embedding"]) for each in found[:3]] == [8, 8, 8]
    assert "unknown field `txt`" in found[3]["error"]["message"]
    assert "neither a text nor an object" in found[4]["error"]["message"]
    before = (tmp_path / "out").read_bytes()
    whole = before.splitlines(keepends=True)
    (tmp_path / "out").write_bytes(b"".join(whole[:2]) + whole[2][:9])
    assert kolo(*asked).returncode == 8
    assert (tmp_path / "out").read_bytes() == before
    lines[3:] = ["y", "z"]
    (tmp_path / "in").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert kolo("embed", "-m", bert, *asked[3:], "--retry-failed").returncode == 0
    assert (tmp_path / "out").read_bytes().startswith(b"".join(whole[:3]))
    assert b"error" not in (tmp_path / "out").read_bytes()


def test_out_of_time(kolo: Kolo, bert: str) -> None:
    done = kolo("embed", "-m", bert, "hello", "--timeout", "0.001")
    assert (done.returncode, done.stdout) == (7, "")
    assert done.stderr.startswith("error: no complete answer within 0.001 s\n")


def test_a_server_that_is_not_there_is_tried_again(
    kolo: Kolo, bert: str, unused_tcp_port: int
) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    done = kolo("embed", "-m", "bert", "hello", "--url", url, "--retries", "1")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(f"error: no server answers at {url}\n")


def test_many_texts_keep_their_order_however_many_are_under_way(kolo: Kolo, bert: str) -> None:
    text = "".join(f"hello {index}\n" for index in range(100))
    runs = [
        vectors(kolo("embed", "-m", bert, "--lines", "--concurrency", n, stdin=text).stdout)
        for n in ("1", "16")
    ]
    assert len(runs[0]) == 100
    np.testing.assert_allclose(runs[0], runs[1], atol=1e-4)


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["x", "--json", "-o", "csv"], "--json is -o json, and not -o csv"),
        (["x", "--jsonl", "f"], "with --jsonl the texts are in f"),
        (["--jsonl", "/dev/null", "-o", "csv"], "--jsonl has lines of JSON, and not -o csv"),
        (["x", "--retry-failed"], "--retry-failed is for --jsonl"),
        (["x", "--out", "f"], "--out is for --jsonl"),
        (["x", "--file", "/no/such"], "--file: cannot read /no/such"),
        ([" "], "there is no text"),
        (["x", "--dimensions", "0"], "'--dimensions': 0 is not in the range"),
    ],
)
def test_what_contradicts_itself_is_refused(
    argv: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["embed", *argv]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert told in shown.err
