"""The audit log: what was written is found again, and what was changed is found out."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kolo import flock
from kolo.audit import START, entries, record, verify
from kolo.errors import AuditBroken, ConfigError


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "state" / "audit.jsonl"


def write(log: Path, n: int) -> None:
    for at in range(n):
        record(log, who="local", action=f"act {at}", subject="qwen", outcome="ok")


def test_a_log_that_is_not_there_is_whole_and_empty(log: Path) -> None:
    assert verify(log).lines == 0
    assert verify(log).head == START
    assert list(entries(log)) == []


def test_what_was_recorded_is_read_again_and_the_chain_holds(log: Path) -> None:
    write(log, 5)
    assert [entry.action for entry in entries(log)] == [f"act {at}" for at in range(5)]
    verdict = verify(log)
    assert (verdict.lines, verdict.torn) == (5, ())
    assert verdict.head == list(entries(log))[-1].sum
    assert log.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("at", [0, 2, 4])
def test_a_changed_line_is_named(log: Path, at: int) -> None:
    write(log, 5)
    lines = log.read_bytes().splitlines(keepends=True)
    lines[at] = lines[at].replace(b"qwen", b"qven")
    log.write_bytes(b"".join(lines))
    with pytest.raises(AuditBroken, match=rf"line {at + 1} "):
        verify(log)
    assert AuditBroken.exit_code == 8


@pytest.mark.parametrize("at", [0, 2])
def test_a_line_that_was_taken_out_is_noticed(log: Path, at: int) -> None:
    write(log, 5)
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:at] + lines[at + 1 :]))
    with pytest.raises(AuditBroken, match=rf"line {at + 1} "):
        verify(log)


def test_a_line_that_was_put_in_is_noticed(log: Path) -> None:
    write(log, 3)
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([lines[0], lines[0], *lines[1:]]))
    with pytest.raises(AuditBroken, match="line 2 "):
        verify(log)
    log.write_bytes(b"".join([lines[0], b"\n", *lines[1:]]))
    with pytest.raises(AuditBroken, match="line 2 "):
        verify(log)


def test_lines_cut_off_at_the_end_are_found_by_the_head_of_before(log: Path) -> None:
    write(log, 5)
    head = verify(log).head
    write(log, 1)
    assert verify(log, head=head).lines == 6
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:3]))
    assert verify(log).lines == 3
    with pytest.raises(AuditBroken, match=head):
        verify(log, head=head)


@pytest.mark.parametrize("cut", [1, 2, 60])
def test_after_a_torn_line_the_chain_goes_on_and_says_so(log: Path, cut: int) -> None:
    write(log, 3)
    log.write_bytes(log.read_bytes()[:-cut])
    torn = verify(log)
    assert (torn.lines, torn.torn) == (2, (3,))
    write(log, 2)
    healed = verify(log)
    if cut == 1:  # nothing but the line break was lost
        assert (healed.lines, healed.torn) == (5, ())
    else:
        assert (healed.lines, healed.torn) == (4, (3,))
    lines = log.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b"act", b"cat")
    log.write_bytes(b"".join(lines))
    with pytest.raises(AuditBroken, match="line 3 "):
        verify(log)


def test_two_torn_writes_in_a_row_are_survived(log: Path) -> None:
    write(log, 2)
    log.write_bytes(log.read_bytes()[:-30])
    write(log, 1)
    log.write_bytes(log.read_bytes()[:-30])
    write(log, 1)
    verdict = verify(log)
    assert (verdict.lines, verdict.torn) == (2, (2, 3))


def test_a_torn_first_line_is_survived(log: Path) -> None:
    write(log, 1)
    log.write_bytes(log.read_bytes()[:40])
    write(log, 1)
    assert verify(log).torn == (1,)


def test_the_end_of_a_long_log_is_found(log: Path) -> None:
    record(log, who="x" * 500, action="y" * 900, subject="z" * 500, outcome="ok")
    with log.open("ab") as file:
        file.write(b"#" * 200_000)
    write(log, 1)
    assert verify(log).lines == 2


def test_several_may_write_at_the_same_time(log: Path) -> None:
    threads = [threading.Thread(target=write, args=(log, 10)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verify(log).lines == 40


def test_a_writer_that_is_killed_leaves_a_log_that_can_be_read(log: Path) -> None:
    code = (
        "from pathlib import Path\nfrom kolo.audit import record\nimport sys\n"
        "while True:\n    record(Path(sys.argv[1]), who='a', action='b', outcome='ok')\n"
    )
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", code, str(log)])
        before = log.stat().st_size if log.exists() else 0
        while not log.exists() or log.stat().st_size < before + 2000:
            assert writer.poll() is None
        writer.kill()
        writer.wait()
        assert verify(log).lines > 1
    write(log, 1)
    assert verify(log).lines > 4


def test_a_line_is_json_with_what_an_auditor_asks_for(log: Path) -> None:
    record(
        log,
        who="key 1a2b3c4d (ci)",
        action="POST /models/load",
        subject="qwen\nx",
        outcome="404",
        at=0.0,
    )
    (line,) = log.read_text().splitlines()
    told = json.loads(line)
    assert told["who"] == "key 1a2b3c4d (ci)"
    assert told["time"] == "1970-01-01T00:00:00.000Z"
    assert (told["n"], told["prev"], told["subject"]) == (1, START, "qwen\nx")


def test_a_log_that_cannot_be_written_is_said(log: Path) -> None:
    log.parent.write_text("no folder")
    with pytest.raises(ConfigError, match="audit log"):
        write(log, 1)


def test_a_link_in_its_place_is_not_followed(log: Path, tmp_path: Path) -> None:
    log.parent.mkdir()
    log.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="cannot write"):
        write(log, 1)
    assert not (tmp_path / "elsewhere").exists()


def test_a_lock_that_nobody_lets_go_of_is_said(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(log, 1)
    monkeypatch.setattr(flock, "WAIT_S", 0.0)
    with log.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="another process holds its lock"):
            write(log, 1)
    assert verify(log).lines == 1
