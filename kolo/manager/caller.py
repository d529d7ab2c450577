"""Who a request comes from, without every call on its way having to say so.

What a request is counted against is its account: a key, or without keys an address. The engine
takes turns among accounts and tells each what it has used.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import NamedTuple, Protocol


class Trace(NamedTuple):
    """Which trace a request is part of, as its headers said (W3C Trace Context)."""

    traceparent: str = ""
    tracestate: str = ""


class Account(Protocol):
    """Who pays for a request."""

    @property
    def name(self) -> str:
        """Short, stable, no secret."""

    def charge(self, n_tokens: int) -> None:
        """A request has used so many tokens, of its prompt and of its answer. Never raises."""


class Anonymous:
    """The account of whoever asks an engine of his own."""

    name = ""

    def charge(self, n_tokens: int) -> None:
        return


NO_TRACE = Trace()
NOBODY = Anonymous()

caller: ContextVar[str] = ContextVar("caller", default="")
"""Address of the client whose request the running task answers."""
account: ContextVar[Account] = ContextVar("account", default=NOBODY)
"""What the running task's requests count against."""
trace: ContextVar[Trace] = ContextVar("trace", default=NO_TRACE)
