"""What an examination finds."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

State = Literal["ok", "warn", "fail"]


class Finding(Struct, frozen=True, kw_only=True):
    """One line of the report."""

    check: str
    """What was looked at, in a word or two."""
    state: State
    """``warn``: it works, and not as well as it could; ``fail``: something will not work."""
    found: str
    """What was found, for a person."""
    remedy: str = ""
    """What to do about it; empty where nothing needs to be done."""
    took_ms: float = 0.0


class Report(Struct, kw_only=True):
    """A whole examination."""

    healthy: bool
    """No check failed; there may be warnings. Else the exit code is 8."""
    kolo: str
    """Version."""
    findings: list[Finding]


def ok(check: str, found: str) -> Finding:
    return Finding(check=check, state="ok", found=found)


def warn(check: str, found: str, remedy: str) -> Finding:
    return Finding(check=check, state="warn", found=found, remedy=remedy)


def fail(check: str, found: str, remedy: str) -> Finding:
    return Finding(check=check, state="fail", found=found, remedy=remedy)
