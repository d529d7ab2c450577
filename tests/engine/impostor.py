"""Worker processes that misbehave, each a few lines of Python in place of the real one."""

from __future__ import annotations

import sys

import pytest

from kolo.manager import process

_PRELUDE = """
import os, signal, socket, sys, time
from kolo import wire
from kolo.errors import ErrorInfo, LoadFailed
from kolo.types import *
sock = socket.socket(fileno=int(sys.argv[1]))
frames = wire.Frames(sock)
def send(*frames):
    for frame in frames:
        sock.sendall(wire.encode(frame))
def ready(**info):
    send(wire.Ready(ModelInfo(**info), 1.0))
def done(id):
    send(wire.Done(id, Generated(usage=Usage(), timings=Timings())))
def delta(id, text, **more):
    send(wire.Tokens([Delta(id, 0, text, 1, **more)]))
"""


def pretend(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Make every worker started from now on run ``code``.

    It may use ``sock``, ``frames``, ``send``, ``ready``, ``done`` and ``delta``.
    """

    def command(fd: int) -> list[str]:
        return [sys.executable, "-c", _PRELUDE + code, str(fd)]

    monkeypatch.setattr(process, "worker_command", command)
