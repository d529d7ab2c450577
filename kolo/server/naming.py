"""The name of a request: its client's own, or one of ours. It is in the reply's ``X-Request-Id``,
in an error's body and in what the log says of it, so that the three can be brought together."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from contextvars import ContextVar

HEADER = "X-Request-Id"
_SANE = re.compile(rb"[\x21-\x7e]{1,128}")

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""Of the request that the running task answers."""


def name_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """What ASGI's ``headers`` call the request, if that is printable and short, or a new name."""
    given = next((value for name, value in headers if name == b"x-request-id"), b"")
    return given.decode() if _SANE.fullmatch(given) else f"req_{secrets.token_hex(12)}"
