"""What tests ask about a running ``kolo``."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

Kolo = Callable[..., subprocess.CompletedProcess[str]]


def workers_of(parent: int) -> list[int]:
    """Children of a process, by /proc; workers have sessions but no parents of their own."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == parent:
                found.append(int(entry.name))
    return found


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"
