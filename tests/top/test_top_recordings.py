"""Recordings: written as heard, read with patience, played back and forth."""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing
from pathlib import Path

import pytest
from watching_top import recorded

from kolo.errors import UsageError
from kolo.snapshot import Snapshot, encode
from kolo.top.recording import Recorder, Recording
from kolo.top.session import Link, Rewind, Session, Told
from kolo.top.sources.replay import Replay


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "session.jsonl"
    recorder = Recorder(path)
    for one in recorded():
        recorder.take(one)
    recorder.take(Link(state="live"))
    recorder.close()
    return path


async def played(replay: Replay, n: int) -> list[Told]:
    """What is told, up to ``n`` things."""
    told: list[Told] = []
    async with asyncio.timeout(20), aclosing(replay.told()) as stream:
        async for one in stream:
            told.append(one)
            if len(told) == n or (isinstance(one, Link) and one.state == "ended"):
                break
    return told


async def test_what_was_recorded_is_played_again(file: Path) -> None:
    told = await played(Replay(file, speed=100_000.0), 10_000)
    assert [one for one in told if not isinstance(one, Link)] == recorded()
    assert isinstance(told[-1], Link)
    assert told[-1].state == "ended"


def spoil(file: Path, content: bytes) -> None:
    file.write_bytes(content)


async def test_a_cut_line_is_left_out_and_said(file: Path) -> None:
    os.truncate(file, os.stat(file).st_size - 40)
    replay = Replay(file, speed=100_000.0)
    told = await played(replay, 10_000)
    assert isinstance(told[0], Link)
    assert told[0].note == "session.jsonl: the last line is cut off"
    assert [one for one in told if not isinstance(one, Link)] == recorded()[:-1]


async def test_lines_that_cannot_be_read_are_counted(file: Path) -> None:
    lines = [encode(one) for one in recorded()]
    lines[3] = b'{"type":"snapshot","at":1,"engines":[{"id":7}]}\n'  # looks whole, and is not
    lines[4] = b"\xff\xfe not a message\n"
    lines[5] = b'{"type":"party"}\n'
    spoil(file, b"\n".join(lines[:2]) + b"".join(lines[2:]) + b"[" * 100_000 + b"\n")
    replay = Replay(file, speed=100_000.0)
    assert replay.recording.trouble == "3 lines could not be read"
    told = [one for one in await played(replay, 10_000) if not isinstance(one, Link)]
    assert told == [*recorded()[:3], *recorded()[6:]]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"hello\n", b"\x00" * 5000, b'{"type":"hello"}'])
def test_a_file_with_nothing_to_show_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "nothing.jsonl"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="no recording"):
        Recording(path)


def test_a_recording_replaces_no_file(file: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(UsageError, match="is there already"):
        Recorder(file)
    assert file.read_bytes() == before


async def test_a_halt_stops_it_and_going_on_goes_on(file: Path) -> None:
    replay = Replay(file, speed=100_000.0)
    replay.toggle()
    async with aclosing(replay.told()) as stream:
        told = [await anext(stream), await anext(stream)]
        waiting = asyncio.ensure_future(anext(stream))
        n_snapshots = 0
        while n_snapshots < 1:  # a halted one still tells what came with the first moment
            done, _ = await asyncio.wait({waiting}, timeout=0.2)
            if not done:
                break
            told.append(waiting.result())
            n_snapshots += isinstance(told[-1], Snapshot)
            waiting = asyncio.ensure_future(anext(stream))
        done, _ = await asyncio.wait({waiting}, timeout=0.2)
        assert not done
        replay.toggle()
        assert await asyncio.wait_for(waiting, 10) is not None


async def test_a_jump_back_begins_anew_with_its_graphs(file: Path) -> None:
    replay = Replay(file, speed=100_000.0)
    async with asyncio.timeout(20), aclosing(replay.told()) as stream:
        session = Session()
        async for one in stream:
            session.take(one, 0.0)
            if isinstance(one, Link) and one.state == "ended":
                break
        end = session.picture.snapshot
        replay.seek(-10.0)
        again: list[Told] = []
        async for one in stream:
            again.append(one)
            session.take(one, 0.0)
            if sum(isinstance(told, Snapshot) for told in again) > 8:
                break
        assert isinstance(again[0], Rewind)
        assert end is not None
        assert session.picture.snapshot is not None
        assert session.picture.snapshot.at < end.at - 5
        known = [v for v in session.picture.series("", "out", 60.0, 60) if v is not None]
        assert len(known) > 5


def test_speeds_have_an_end_on_either_side(file: Path) -> None:
    replay = Replay(file)
    for _ in range(20):
        fastest = replay.faster(1)
    for _ in range(20):
        slowest = replay.faster(-1)
    assert (fastest, slowest) == (100.0, 0.25)
    assert replay.position[1] > 20
    replay.seek(-1000.0)
    replay.seek(1000.0)


def test_a_line_is_written_whole_as_it_comes(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "new.jsonl")
    for one in recorded()[:3]:
        recorder.take(one)
        assert recorder.path.read_bytes().endswith(encode(one))
    recorder.close()
