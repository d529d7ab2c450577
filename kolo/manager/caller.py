"""Who a request comes from, without every call on its way having to say so."""

from __future__ import annotations

from contextvars import ContextVar

caller: ContextVar[str] = ContextVar("caller", default="")
"""Address of the client whose request the running task answers."""
