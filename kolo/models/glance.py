"""What a model's file is, without loading it: read once, and again when the file has changed."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct

from kolo.errors import KoloError
from kolo.models.gguf import read_model, shard_paths
from kolo.models.manifest import About

KEPT = 1024


class Glance(Struct, frozen=True, kw_only=True):
    size_bytes: int
    """Of all its parts."""
    about: About


_seen: dict[Path, tuple[tuple[int, int], Glance]] = {}


def glance(path: Path) -> Glance | None:
    """Of the file, or of the first of its parts; None if it is gone or cannot be read. Opens
    files: not for an event loop."""
    try:
        stat = os.stat(path)
        stamp = (stat.st_mtime_ns, stat.st_size)
        known = _seen.get(path)
        if known is not None and known[0] == stamp:
            return known[1]
        size_bytes = sum(part.stat().st_size for part in shard_paths(path))
        found = Glance(size_bytes=size_bytes, about=About.of(read_model(path)))
    except (OSError, KoloError):
        return None
    if len(_seen) >= KEPT:
        _seen.clear()
    _seen[path] = (stamp, found)
    return found
