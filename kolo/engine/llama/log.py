"""llama.cpp's own messages: kept for error texts, and passed on to stderr, which is the engine's
log. Each begins with its level: I, W or E."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections import deque

from kolo.engine.llama.bindings import llama_cpp

_DEBUG, _WARN, _ERROR, _CONT = 1, 3, 4, 5
_LETTERS = {_WARN: "W", _ERROR: "E"}
_recent: deque[tuple[int, str]] = deque(maxlen=60)
_BUFFER = re.compile(r"(\S+)\s+(model|KV|RS|output|compute) buffer size\s*=\s*([0-9.]+) MiB")
_buffers: dict[tuple[str, str], float] = {}
"""MiB by device and purpose."""
_verbose = bool(os.environ.get("KOLO_DEBUG"))
_level = 0


def _write(level: int, text: bytes, _user: object) -> None:
    global _level
    _level = _level if level == _CONT else level
    if _level == _DEBUG and not _verbose:
        return
    line = text.decode("utf-8", "replace").rstrip("\n")
    if not line.strip(" ."):
        return
    _recent.append((_level, line))
    if told := _BUFFER.search(line):
        # Weights come in one buffer for each file; all else is told anew when it changes.
        before = _buffers.get((told[1], told[2]), 0.0) if told[2] == "model" else 0.0
        _buffers[told[1], told[2]] = before + float(told[3])
    sys.stderr.write(f"{_LETTERS.get(_level, 'I')} {line}\n")
    sys.stderr.flush()


# A callback object that is collected while llama.cpp still holds it crashes the process.
_callback = llama_cpp.llama_log_callback(_write)


def capture() -> None:
    """Take over llama.cpp's log; call before anything else of it."""
    llama_cpp.llama_log_set(_callback, ctypes.c_void_p(0))


def forget() -> None:
    _recent.clear()


def buffers() -> dict[str, int]:
    """Bytes that are allocated by device, for all purposes, which only the log tells."""
    found: dict[str, int] = {}
    for (device, _), mib in _buffers.items():
        found[device] = found.get(device, 0) + int(mib * 2**20)
    return found


def kv_cache_bytes() -> int:
    """Size of the KV cache that was allocated last, which only the log tells; 0 if it did not."""
    sizes = (re.search(r"kv_cache: size =\s*([0-9.]+) MiB", line) for _, line in _recent)
    found = [float(size[1]) for size in sizes if size]
    return int(found[-1] * 2**20) if found else 0


def complaints(limit: int = 6) -> str:
    """The latest errors, or failing those warnings, as one text."""
    for floor in (_ERROR, _WARN):
        lines = [line for level, line in _recent if level >= floor]
        if lines:
            return "\n".join(dict.fromkeys(lines[-limit:]))
    return ""
