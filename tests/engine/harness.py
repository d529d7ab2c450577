"""A worker process driven frame by frame, for tests of what goes over its socket."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from kolo import wire
from kolo.errors import KoloError, from_info
from kolo.stats import EngineStats
from kolo.types import (
    Chat,
    Delta,
    Generate,
    Generated,
    Inspect,
    LoadParams,
    Message,
    ModelInfo,
    Operation,
    Prompt,
)

DEADLINE_S = 120.0
GUIDE = str(files("kolo.models") / "data" / "guide.gguf")


@dataclass
class Answer:
    """Everything that came for one request."""

    deltas: list[Delta] = field(default_factory=list)
    result: Any = None
    error: KoloError | None = None
    ends: int = 0

    def text(self, index: int = 0) -> str:
        return "".join(d.text for d in self.deltas if d.index == index)

    @property
    def finish(self) -> str | None:
        return next((d.finish for d in reversed(self.deltas) if d.finish), None)

    @property
    def generated(self) -> Generated:
        if self.error is not None:
            raise self.error
        assert isinstance(self.result, Generated)
        return self.result


class Worker:
    def __init__(
        self, path: str, params: LoadParams, backend: str, saving: wire.Saving | None = None
    ) -> None:
        ours, theirs = socket.socketpair()
        env = {**os.environ, "GGML_NO_BACKTRACE": "1"}
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "kolo.engine.worker", "--fd", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=env,
                stderr=subprocess.PIPE,
            )
        ours.settimeout(DEADLINE_S)
        self._sock = ours
        self._buffer = wire.FrameBuffer()
        self._last = 0
        self.loading: list[wire.Loading] = []
        self.notes: list[wire.Note] = []
        self.answers: dict[int, Answer] = defaultdict(Answer)
        self.frames: list[wire.Up] = []
        try:
            self._sock.sendall(wire.encode(wire.Load(path, params, backend, saving)))
            self.info = self._await_ready()
        except BaseException:
            self.close()
            raise

    def _await_ready(self) -> ModelInfo:
        for frame in self._incoming():
            if isinstance(frame, wire.Ready):
                return frame.info
            if isinstance(frame, wire.Refused):
                raise from_info(frame.error)
            if isinstance(frame, wire.Loading):
                self.loading.append(frame)
            if isinstance(frame, wire.Note):
                self.notes.append(frame)
        raise AssertionError(f"the worker died: {self.stderr()}")

    def submit(self, op: Operation) -> int:
        self._last += 1
        self._sock.sendall(wire.encode(wire.Submit(self._last, op)))
        return self._last

    def cancel(self, request_id: int) -> None:
        self._sock.sendall(wire.encode(wire.Cancel(request_id)))

    def wait(self, *ids: int) -> list[Answer]:
        """Read until each of ``ids`` has ended; the answers in that order."""
        while not all(self.answers[i].ends for i in ids):
            self.read()
        return [self.answers[i] for i in ids]

    def read(self) -> wire.Up:
        """Take in one frame."""
        frame = next(self._incoming(), None)
        if frame is None:
            raise ConnectionError(f"the worker is gone: {self.stderr()}")
        self.frames.append(frame)
        match frame:
            case wire.Tokens():
                for delta in frame.deltas:
                    self.answers[delta.id].deltas.append(delta)
            case wire.Done():
                self.answers[frame.id].result = frame.result
                self.answers[frame.id].ends += 1
            case wire.Failed():
                self.answers[frame.id].error = from_info(frame.error)
                self.answers[frame.id].ends += 1
        return frame

    def ask(self, op: Operation) -> Answer:
        return self.wait(self.submit(op))[0]

    def stats(self) -> EngineStats:
        result = self.ask(Inspect()).result
        assert isinstance(result, EngineStats)
        return result

    def _incoming(self) -> Iterator[wire.Up]:
        pending = self.__dict__.setdefault("_pending", [])
        while True:
            while pending:
                yield wire.decode_up(pending.pop(0))
            data = self._sock.recv(1 << 16)
            if not data:
                return
            pending += self._buffer.feed(data)

    def stderr(self) -> str:
        self.process.wait(10)
        assert self.process.stderr is not None
        return self.process.stderr.read().decode("utf-8", "replace")

    def send(self, frame: wire.Down) -> None:
        self._sock.sendall(wire.encode(frame))

    def leave(self, save_ms: int = 60_000, max_bytes: int = 1 << 40) -> None:
        """Have it save what it has cached, and wait for its end; what it said is in ``notes``."""
        self.send(wire.Stop(save_ms, max_bytes))
        self.notes += [frame for frame in self._incoming() if isinstance(frame, wire.Note)]
        assert self.process.wait(DEADLINE_S) == 0

    def close(self) -> None:
        self._sock.close()
        self.process.wait(20)
        assert self.process.stderr is not None
        self.process.stderr.close()


@contextlib.contextmanager
def worker(
    path: str = "",
    params: LoadParams | None = None,
    backend: str = "llama",
    saving: wire.Saving | None = None,
) -> Iterator[Worker]:
    started = Worker(path, params or LoadParams(), backend, saving)
    try:
        yield started
    finally:
        started.close()


def chat(text: str, **options: Any) -> Generate:
    return Generate(input=Chat(messages=[Message(role="user", content=text)]), **options)


def prompt(text: str, **options: Any) -> Generate:
    return Generate(input=Prompt(text=text), **options)


def tokens(ids: list[int], **options: Any) -> Generate:
    return Generate(input=Prompt(tokens=ids), **options)
