"""The history's file under a writer: killed, deleted, damaged, on a disk that refuses."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kolo.config import HistorySettings
from kolo.monitor.history.figures import EVERY, Batch, EventRow, Row, RunRow
from kolo.monitor.history.reader import read_runs
from kolo.monitor.history.writer import BACKLOG, ENDED, Writer

NOON = 1_800_000_000 // 86_400 * 86_400 + 43_200


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "history.db"


class Told:
    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def __call__(self, level: str, text: str) -> None:
        self.lines.append((level, text))


@contextmanager
def writing(path: Path, told: Told | None = None) -> Iterator[Writer]:
    writer = Writer(path, HistorySettings(), told or Told(), clock=lambda: NOON)
    writer.start()
    try:
        yield writer
    finally:
        assert writer.close()


def minute(number: int) -> Batch:
    at = NOON + 60 * number
    rows = [Row("host", EVERY, at, {"covered_s": 60.0}), Row("engine", "a", at, {"done": 1})]
    return Batch(rows, [EventRow(at=at, kind="note", level="info", engine="a", text=f"{number}")])


def minutes_in(path: Path) -> list[int]:
    db = sqlite3.connect(path)
    try:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        found = db.execute("SELECT at FROM host_figures WHERE step_s = 60 ORDER BY at")
        return [(at - NOON) // 60 for (at,) in found]
    finally:
        db.close()


def put(writer: Writer, *numbers: int) -> None:
    for number in numbers:
        writer.put(minute(number))
    assert writer.flush()


# The usual -------------------------------------------------------------------------------


def test_what_is_put_is_in_the_file_and_more_of_the_same_minute_is_added(path: Path) -> None:
    with writing(path) as writer:
        put(writer, 0, 1)
    with writing(path) as writer:
        put(writer, 1, 2)
    assert minutes_in(path) == [0, 1, 2]
    db = sqlite3.connect(path)
    done = db.execute("SELECT done FROM engine_figures WHERE step_s = 60 ORDER BY at").fetchall()
    db.close()
    assert done == [(1,), (2,), (1,)]


def test_closing_writes_what_is_left_and_leaves_one_file(path: Path) -> None:
    with writing(path) as writer:
        for number in range(10):
            writer.put(minute(number))
    assert [file.name for file in path.parent.iterdir()] == ["history.db"]
    assert minutes_in(path) == list(range(10))


def test_there_is_a_file_to_read_before_the_first_minute(path: Path) -> None:
    with writing(path) as writer:
        assert writer.flush()
        assert minutes_in(path) == []


def test_runs_that_a_dead_server_left_open_are_ended(path: Path) -> None:
    run = RunRow(engine="a", path="/m", loaded_at=NOON + 1, load_ms=1.0)
    with writing(path) as writer:
        put(writer, 0)
        writer.put(Batch(runs=[run]))
    db = sqlite3.connect(path, isolation_level=None)
    assert db.execute("UPDATE runs SET server = '1@1.00'").rowcount == 1
    db.close()
    with writing(path) as writer:
        assert writer.flush()
        (found,) = read_runs(path, engine=None, from_at=0, to_at=NOON + 99, limit=9)
    assert (found.ended_at, found.reason) == (NOON + 60, ENDED)


def test_runs_of_a_server_that_lives_are_left_alone(path: Path) -> None:
    run = RunRow(engine="a", path="/m", loaded_at=NOON + 1, load_ms=1.0)
    with writing(path) as writer:
        writer.put(Batch(runs=[run]))
    with writing(path) as writer:
        assert writer.flush()
        (found,) = read_runs(path, engine=None, from_at=0, to_at=NOON + 99, limit=9)
    assert found.ended_at is None


def test_two_servers_may_write_one_file(path: Path) -> None:
    with writing(path) as one, writing(path) as other:
        for number in range(20):
            (one, other)[number % 2].put(minute(number))
        assert one.flush()
        assert other.flush()
    assert minutes_in(path) == list(range(20))


# A file that is spoiled ------------------------------------------------------------------


def aside(path: Path) -> list[Path]:
    return [file for file in path.parent.glob("history.2*.db") if file.is_file()]


@pytest.mark.parametrize("tails", [("",), ("", "-wal", "-shm")])
def test_a_file_deleted_while_open_is_begun_anew(path: Path, tails: tuple[str, ...]) -> None:
    told = Told()
    with writing(path, told) as writer:
        put(writer, 0)
        for tail in tails:
            Path(f"{path}{tail}").unlink()
        put(writer, 1, 2)
    assert minutes_in(path) == [1, 2]
    assert [level for level, _ in told.lines] == ["warning"]
    assert "opened anew" in told.lines[0][1]


def test_a_folder_deleted_while_open_is_made_anew(path: Path) -> None:
    with writing(path) as writer:
        put(writer, 0)
        shutil.rmtree(path.parent)
        put(writer, 1)
    assert minutes_in(path) == [1]


def overwritten(path: Path) -> None:
    path.write_bytes(b"this is no database" * 1000)


def scribbled(path: Path) -> None:
    with path.open("r+b") as file:
        for page in range(1, path.stat().st_size // 4096):
            file.seek(page * 4096)
            file.write(os.urandom(512))


def halved(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2 + 100)


@pytest.mark.parametrize("spoil", [overwritten, scribbled, halved])
def test_a_damaged_file_is_set_aside_with_the_time_in_its_name(
    path: Path, spoil: Callable[[Path], None]
) -> None:
    with writing(path) as writer:
        put(writer, *range(50))
    spoil(path)
    damaged, told = path.read_bytes(), Told()
    with writing(path, told) as writer:
        put(writer, 90)
    assert minutes_in(path) == [90]
    (kept,) = aside(path)
    assert kept.name == "history.20270115T120000Z.db"
    assert kept.read_bytes() == damaged
    assert [level for level, _ in told.lines] == ["warning"]
    assert kept.name in told.lines[0][1]


def test_a_file_damaged_while_open_is_noticed_and_replaced(path: Path) -> None:
    told = Told()
    with writing(path, told) as writer:
        put(writer, *range(50))
        overwritten(path)
        put(writer, 60)
        put(writer, 61)
    assert minutes_in(path) == [60, 61]
    assert len(aside(path)) == 1
    assert any("set aside" in text for _, text in told.lines)


def test_a_file_of_a_later_version_is_set_aside_and_kept(path: Path) -> None:
    with writing(path) as writer:
        put(writer, 0)
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with writing(path) as writer:
        put(writer, 1)
    (kept,) = aside(path)
    assert minutes_in(kept) == [0]
    assert minutes_in(path) == [1]


def test_setting_aside_twice_in_a_second_loses_neither(path: Path) -> None:
    path.parent.mkdir()
    for _ in range(2):
        overwritten(path)
        with writing(path) as writer:
            put(writer, 0)
    assert len(aside(path)) == 2


# A disk that refuses ---------------------------------------------------------------------


def test_a_folder_that_cannot_be_written_is_told_once_and_tried_again(tmp_path: Path) -> None:
    folder, told = tmp_path / "state", Told()
    folder.write_text("in the way")
    with writing(folder / "history.db", told) as writer:
        put(writer, 0)
        put(writer, 1)
        assert [level for level, _ in told.lines] == ["warning"]
        assert "cannot be written" in told.lines[0][1]
        folder.unlink()
        put(writer, 2)
    assert minutes_in(folder / "history.db") == [0, 1, 2]
    assert [level for level, _ in told.lines] == ["warning", "info"]


def test_a_file_system_that_takes_no_files_is_told_and_nothing_fails() -> None:
    told = Told()
    with writing(Path("/proc/history.db"), told) as writer:
        put(writer, 0)
    assert [level for level, _ in told.lines] == ["warning"]


def test_what_waits_for_a_disk_is_bounded(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.write_text("in the way")
    with writing(folder / "history.db") as writer:
        put(writer, *range(BACKLOG + 30))
        folder.unlink()
        put(writer, BACKLOG + 30)
    assert minutes_in(folder / "history.db") == list(range(31, BACKLOG + 31))


FULL = """
    import resource, signal, sys
    from pathlib import Path
    from kolo.config import HistorySettings
    from kolo.monitor.history.writer import Writer
    from test_history_writer import minute, minutes_in, put

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    path, told = Path(sys.argv[1]), []
    writer = Writer(path, HistorySettings(), lambda *line: told.append(line))
    writer.start()
    put(writer, *range(5))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, hard))  # the disk is full
    for number in range(5, 60):
        put(writer, number)
    assert any(level == "warning" for level, _ in told), told
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    put(writer, 60)
    assert writer.close()
    assert told[-1][0] == "info", told
    print(*minutes_in(path))
"""


def test_a_full_disk_loses_nothing_that_fits_in_memory(path: Path) -> None:
    """The kernel refuses every write past a size, as a full disk would."""
    done = run(FULL, path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(number) for number in range(61)]


# kill -9 ---------------------------------------------------------------------------------

WRITING = """
    import sys
    from pathlib import Path
    from kolo.config import HistorySettings
    from kolo.monitor.history.writer import Writer
    from test_history_writer import minute

    first = int(sys.argv[2])
    writer = Writer(Path(sys.argv[1]), HistorySettings(), lambda *line: sys.exit(str(line)))
    writer.start()
    for number in range(first, first + 100_000):
        writer.put(minute(number))
        assert writer.flush()
        print(number, flush=True)
"""


def run(script: str, path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(script, path), env=environment(), capture_output=True, text=True, timeout=60
    )


def command(script: str, *args: object) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(script), *map(str, args)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}


def test_kill_9_at_any_moment_loses_no_minute_that_was_written(path: Path) -> None:
    rng = random.Random(5)
    written: list[int] = []
    for _ in range(8):
        first = written[-1] + 2 if written else 0
        child = subprocess.Popen(
            command(WRITING, path, first), env=environment(), stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        told = [int(child.stdout.readline())]
        time.sleep(rng.uniform(0, 0.05))  # the moment of the kill, not a wait for anything
        child.send_signal(signal.SIGKILL)
        told += [int(line) for line in child.stdout.read().split("\n")[:-1]]
        child.wait()
        child.stdout.close()
        found = minutes_in(path)
        written += told
        lost = set(written) - set(found)
        assert not lost
        assert set(found) - set(written) <= {told[-1] + 1}, "more than the minute under way"
        written = found
    assert len(written) > 8
