"""A request that finds the engine at rest is started with those that came along with it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from queue import SimpleQueue

import pytest

from kolo import wire
from kolo.engine import loop as loop_room
from kolo.engine.fake import FakeBackend, Script
from kolo.engine.front import Front
from kolo.engine.layout import flat
from kolo.engine.loop import Item, Loop
from kolo.engine.pace import ChunkCost
from kolo.types import Generate, LoadParams, Prompt

PARAMS = LoadParams(parallel=4, ctx=512)


class Arriving:
    """Requests that are prepared one by one while the loop looks."""

    def __init__(self, n: int, *, never_ends: bool = False) -> None:
        backend = FakeBackend(Script(), PARAMS)
        front = Front(backend, PARAMS)
        ops = [Generate(input=Prompt(text=f"prompt {i}"), max_tokens=1) for i in range(n)]
        self._jobs = [front.prepare(i, op) for i, op in enumerate(ops)]
        self._never_ends = never_ends
        self.inbox: SimpleQueue[Item] = SimpleQueue()
        self.inbox.put(self._jobs.pop(0))
        self.loop = Loop(
            backend,
            PARAMS,
            flat(1),
            ChunkCost(0.0, 1.0),
            self._send,
            self.inbox,
            arriving=self._arriving,
        )
        self.answered_with: list[int] = []

    def _arriving(self) -> bool:
        if self._jobs:
            self.inbox.put(self._jobs.pop(0))
            return True
        return self._never_ends

    def _send(self, *frames: wire.Up) -> None:
        for frame in frames:
            if isinstance(frame, wire.Tokens):
                self.answered_with.append(len(frame.deltas))


def test_all_that_came_along_are_in_the_first_step() -> None:
    several = Arriving(4)
    several.loop._take_in()
    several.loop.step()
    assert several.answered_with == [4]


def test_one_that_takes_long_to_be_prepared_is_not_waited_for_to_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop_room, "GATHER_S", 0.01)
    slow = Arriving(1, never_ends=True)
    slow.loop._take_in()
    slow.loop.step()
    assert slow.answered_with == [1]


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_frames_are_arriving_until_the_reader_waits_for_more(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    frames = wire.Frames(ours)
    theirs.sendall(wire.encode(wire.Cancel(1)) + wire.encode(wire.Cancel(2)))
    assert next(frames) == wire.Cancel(1)
    assert frames.arriving
    assert next(frames) == wire.Cancel(2)
    got: list[object] = []
    reader = threading.Thread(target=lambda: got.append(next(frames)))
    reader.start()
    while frames.arriving:
        pass
    theirs.sendall(wire.encode(wire.Cancel(3)))
    reader.join(10)
    assert got == [wire.Cancel(3)]
    assert frames.arriving
