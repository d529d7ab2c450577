"""Looking for a word in the log of an engine."""

from __future__ import annotations


def found(lines: list[str], wanted: str) -> list[int]:
    """Numbers of the lines that hold ``wanted``, however it is written."""
    if not wanted:
        return []
    folded = wanted.casefold()
    return [at for at, line in enumerate(lines) if folded in line.casefold()]
