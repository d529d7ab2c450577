"""Who a request comes from, without every call on its way having to say so."""

from __future__ import annotations

from contextvars import ContextVar
from typing import NamedTuple


class Trace(NamedTuple):
    """Which trace a request is part of, as its headers said (W3C Trace Context)."""

    traceparent: str = ""
    tracestate: str = ""


NO_TRACE = Trace()

caller: ContextVar[str] = ContextVar("caller", default="")
"""Address of the client whose request the running task answers."""
trace: ContextVar[Trace] = ContextVar("trace", default=NO_TRACE)
