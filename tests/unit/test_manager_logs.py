"""What a worker prints: a bounded tail, a bounded file."""

from __future__ import annotations

import os
import re
from pathlib import Path

from kolo.manager.logs import MAX_LINE_BYTES, MAX_LOGS, TAIL_LINES, WorkerLog, log_path

STAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} ")


def written(path: Path) -> list[str]:
    """The lines of a file, whose stamps are there."""
    lines = path.read_text().splitlines()
    assert all(STAMP.match(line) for line in lines)
    return [STAMP.sub("", line, count=1) for line in lines]


def test_the_tail_is_the_last_lines_however_they_are_cut(tmp_path: Path) -> None:
    log = WorkerLog(tmp_path / "a.log")
    for piece in (b"on", b"e\ntw", b"o\n\nthr", b"ee"):
        log.feed(piece)
    log.close()
    assert log.tail() == ["one", "two", "three"]
    assert written(tmp_path / "a.log") == ["one", "two", "", "three"]


def test_the_file_says_at_its_end_how_the_worker_ended(tmp_path: Path) -> None:
    log = WorkerLog(tmp_path / "a.log")
    log.feed(b"one\ntw")
    log.close("worker 7 was killed by signal 9 (SIGKILL)")
    assert log.tail() == ["one", "tw"]
    ended = "worker 7 was killed by signal 9 (SIGKILL)"
    assert written(tmp_path / "a.log") == ["one", "tw", ended]


def test_the_tail_is_bounded_in_lines_and_in_their_length(tmp_path: Path) -> None:
    log = WorkerLog(tmp_path / "a.log")
    log.feed(b"".join(b"line %d\n" % at for at in range(1000)))
    log.feed(b"x" * 1_000_000)
    log.close()
    assert len(log.tail()) == TAIL_LINES
    assert log.tail()[-1] == "x" * MAX_LINE_BYTES
    assert log.tail()[-2] == "line 999"


def test_bytes_that_are_no_text_do_not_matter(tmp_path: Path) -> None:
    log = WorkerLog(tmp_path / "a.log")
    log.feed(b"\xff\xfe broken\n")
    log.close()
    assert log.tail() == ["\ufffd\ufffd broken"]


def test_the_file_turns_over_once_and_stays_bounded(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    log = WorkerLog(path, max_bytes=400)
    for at in range(50):
        log.feed(b"%09d\n" % at)
    log.close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.log", "a.log.1"]
    kept = written(Path(f"{path}.1")) + written(path)
    assert all(len(file.read_bytes()) <= 400 for file in tmp_path.iterdir())
    assert kept[-10:] == [f"{at:09}" for at in range(40, 50)]


def test_a_restarted_worker_goes_on_in_the_same_file(tmp_path: Path) -> None:
    for word in (b"first\n", b"second\n"):
        log = WorkerLog(tmp_path / "logs" / "a.log")
        log.feed(word)
        log.close()
    assert written(tmp_path / "logs" / "a.log") == ["first", "second"]


def test_a_file_that_cannot_be_written_is_said_and_harms_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    log = WorkerLog(tmp_path / "file" / "a.log")
    log.feed(b"still here\n")
    log.close()
    assert "is not written" in log.tail()[0]
    assert log.tail()[1] == "still here"


def test_logs_of_engines_that_come_and_go_do_not_pile_up(tmp_path: Path) -> None:
    for at in range(MAX_LOGS + 5):
        path = log_path(tmp_path, f"engine {at}")
        log = WorkerLog(path)
        log.feed(b"hello\n")
        log.close()
        os.utime(path, (at, at))
    assert len([*tmp_path.glob("*.log")]) == MAX_LOGS
    assert not log_path(tmp_path, "engine 4").exists()
    assert log_path(tmp_path, "engine 5").exists()


def test_no_id_leaves_the_folder_and_no_two_share_a_file(tmp_path: Path) -> None:
    ids = ["a", "../a", "/etc/passwd", "a/b:Q4_K_M", "a%2Fb:Q4_K_M", "..", "x" * 999, "x" * 998]
    paths = [log_path(tmp_path, id) for id in ids]
    assert all(path.parent == tmp_path for path in paths)
    assert all(len(path.name) < 250 for path in paths)
    assert len(set(paths)) == len(ids)
