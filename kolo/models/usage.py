"""When each model was last used: the time of an empty file in the store, so that any process
may note it without a lock."""

from __future__ import annotations

import os
from pathlib import Path

from kolo.config import Settings
from kolo.models.manifest import MAX_FOLDER_BYTES, folder_name


def mark_used(settings: Settings, name: str) -> None:
    """Note that a model is used now. A store that cannot be written does without."""
    file = _file(settings, name)
    if file is None:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    except OSError:  # of no weight next to a model that is wanted now
        return


def last_used(settings: Settings, name: str) -> float | None:
    """Unix time in seconds; None for never, as far as is known."""
    file = _file(settings, name)
    try:
        return file.stat().st_mtime if file is not None else None
    except OSError:
        return None


def forget_use(settings: Settings, name: str) -> None:
    if file := _file(settings, name):
        file.unlink(missing_ok=True)


def _file(settings: Settings, name: str) -> Path | None:
    quoted = folder_name(name)
    if not settings.store.dir or len(quoted) > MAX_FOLDER_BYTES or os.sep in quoted:
        return None
    return Path(settings.store.dir) / "used" / f"{quoted}.used"
