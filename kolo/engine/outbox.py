"""When what the loop has to say is sent.

A token is worth a system call, and a wake-up of every process on its way, only as often as somebody
could see it. Where steps are shorter than that, those processes would want the very cores that the
steps are computed on.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from kolo import wire
from kolo.deltas import merge
from kolo.types import Delta

TOGETHER_S = 0.008
"""Tokens of steps within so long are sent together."""


class Outbox:
    """Sends in the order of what it is given. ``send`` takes any number of frames, and sends them
    at once."""

    def __init__(self, send: Callable[..., None]) -> None:
        self._send = send
        self._held: list[Delta] = []
        self._sent_s = 0.0

    def send(self, *frames: wire.Up) -> None:
        """Now, after all that is held."""
        self._sent_s = time.perf_counter()
        if self._held:
            held, self._held = self._held, []
            self._send(wire.Tokens(held), *frames)
        else:
            self._send(*frames)

    def put(self, deltas: list[Delta], over: list[wire.Done], *, at_once: bool) -> None:
        """A step's tokens, and how requests ended with it. Unless one did, or ``at_once``, they may
        be sent with those of the next steps."""
        if self._held:
            self._held += [delta for delta in deltas if not merge(self._held, delta)]
        else:
            self._held = deltas
        if at_once or over or time.perf_counter() - self._sent_s >= TOGETHER_S:
            self.send(*over)

    def flush(self) -> None:
        """What is held would have to wait for something slow."""
        if self._held:
            self.send()
