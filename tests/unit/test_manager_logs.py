"""What a worker prints: a bounded tail, a bounded file."""

from __future__ import annotations

from pathlib import Path

from kolo.manager.logs import MAX_LINE_BYTES, TAIL_LINES, WorkerLog, log_path


def test_the_tail_is_the_last_lines_however_they_are_cut(tmp_path: Path) -> None:
    log = WorkerLog(tmp_path / "a.log")
    for piece in (b"on", b"e\ntw", b"o\n\nthr", b"ee"):
        log.feed(piece)
    log.close()
    assert log.tail() == ["one", "two", "three"]
    assert (tmp_path / "a.log").read_bytes() == b"one\ntwo\n\nthree"


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
    log = WorkerLog(path, max_bytes=100)
    for at in range(50):
        log.feed(b"%09d\n" % at)
    log.close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.log", "a.log.1"]
    kept = Path(f"{path}.1").read_bytes() + path.read_bytes()
    assert all(len(file.read_bytes()) <= 100 for file in tmp_path.iterdir())
    assert kept.endswith(b"".join(b"%09d\n" % at for at in range(40, 50)))


def test_a_restarted_worker_goes_on_in_the_same_file(tmp_path: Path) -> None:
    for word in (b"first\n", b"second\n"):
        log = WorkerLog(tmp_path / "logs" / "a.log")
        log.feed(word)
        log.close()
    assert (tmp_path / "logs" / "a.log").read_bytes() == b"first\nsecond\n"


def test_a_file_that_cannot_be_written_is_said_and_harms_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    log = WorkerLog(tmp_path / "file" / "a.log")
    log.feed(b"still here\n")
    log.close()
    assert "is not written" in log.tail()[0]
    assert log.tail()[1] == "still here"


def test_no_id_leaves_the_folder_and_no_two_share_a_file(tmp_path: Path) -> None:
    ids = ["a", "../a", "/etc/passwd", "a/b:Q4_K_M", "a%2Fb:Q4_K_M", "..", "x" * 999, "x" * 998]
    paths = [log_path(tmp_path, id) for id in ids]
    assert all(path.parent == tmp_path for path in paths)
    assert all(len(path.name) < 250 for path in paths)
    assert len(set(paths)) == len(ids)
