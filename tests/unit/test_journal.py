"""A server's log: text, JSON, a file that is moved away, a disk that is full."""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kolo.cli.journal import journal
from kolo.config import LogSettings
from kolo.errors import ConfigError

log = logging.getLogger("kolo.test")


def test_text_on_stderr_begins_with_the_time(capsys: pytest.CaptureFixture[str]) -> None:
    with journal(LogSettings()):
        log.info("guide %s", "loaded")
        log.debug("left out")
        logging.getLogger("another.library").warning("hm")
    lines = capsys.readouterr().err.splitlines()
    assert [line[8:] for line in lines] == [" guide loaded", " hm"]
    assert all(line[2] == line[5] == ":" for line in lines)


def test_json_has_an_object_a_line_with_what_machines_want(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with journal(LogSettings(format="json")):
        log.warning("guide\nfell over", extra={"fields": {"engine": "guide", "request_id": "r1"}})
        try:
            raise ValueError("boom")
        except ValueError:
            log.exception("odd")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert first["message"] == "guide\nfell over"
    assert (first["level"], first["engine"], first["request_id"]) == ("warning", "guide", "r1")
    assert first["time"].endswith("Z")
    assert second["level"] == "error"
    assert "ValueError: boom" in second["trace"]


def test_a_level_leaves_out_what_is_less_grave(capsys: pytest.CaptureFixture[str]) -> None:
    with journal(LogSettings(level="error")):
        log.warning("left out")
        log.error("told")
        logging.getLogger("kolo.access").info("asked for by itself")
    lines = capsys.readouterr().err.splitlines()
    assert [line[9:] for line in lines] == ["told", "asked for by itself"]


def test_a_file_that_was_moved_away_is_begun_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "kolo.log"
    with journal(LogSettings(file=str(path))) as writer:
        log.info("one")
        path.rename(tmp_path / "kolo.log.1")
        log.info("two")
        writer.reopen()
        log.error("three", extra={"fields": {"request_id": "r9"}})
    assert len((tmp_path / "kolo.log.1").read_text().splitlines()) == 2
    assert path.read_text().endswith(" error   three (request r9)\n")
    assert capsys.readouterr().err == ""


def test_a_file_that_cannot_be_written_is_refused_with_its_key(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match=r"log\.file: cannot write") as caught,
        journal(LogSettings(file=str(tmp_path / "none" / "kolo.log"))),
    ):
        raise AssertionError("not reached")
    assert caught.value.param == "log.file"


def test_under_systemd_a_line_begins_with_its_level_and_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "journal").open("w+") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        monkeypatch.setattr(sys, "stderr", stream)
        with journal(LogSettings()) as writer:
            assert not writer.at_hand
            log.info("loaded")
            log.error("one\ntwo")
        stream.seek(0)
        assert stream.read() == "<6>loaded\n<3>one\n<3>two\n"


FULL = """
import logging, sys
from kolo.cli.journal import journal
from kolo.config import LogSettings
log = logging.getLogger("kolo.test")
with journal(LogSettings(file=sys.argv[1])):
    for _ in range(3):
        log.info("x" * 400)
    print("still here", flush=True)
"""


def _small_files() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))


def test_a_full_disk_costs_lines_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "kolo.log"
    done = subprocess.run(
        [sys.executable, "-B", "-c", FULL, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=_small_files,
        env={**os.environ},
    )
    assert (done.returncode, done.stdout) == (0, "still here\n"), done.stderr
    assert done.stderr == f"{path} cannot be written: No space left on device\n"
    assert path.read_text().count("x" * 400) == 1


FULL_AND_THEN_NOT = """
import logging, os
from kolo.cli.journal import journal
from kolo.config import LogSettings
log = logging.getLogger("kolo.test")
with journal(LogSettings()):
    for _ in range(2):
        log.info("x" * 400)
    os.ftruncate(2, 0)
    log.info("later")
"""


def test_stderr_on_a_disk_that_was_full_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "stderr"
    with path.open("a") as stderr:
        done = subprocess.run(
            [sys.executable, "-B", "-c", FULL_AND_THEN_NOT],
            stdout=subprocess.PIPE,
            stderr=stderr,
            timeout=60,
            check=False,
            preexec_fn=_small_files,
            env={**os.environ},
        )
    assert done.returncode == 0
    assert "later" in path.read_text()
