"""Where the monitor socket is, for the server that makes it and for those who look."""

from __future__ import annotations

from pathlib import Path

from kolo.config import Settings
from kolo.paths import Paths

NAME = "monitor.sock"


def socket_path(settings: Settings, paths: Paths) -> Path:
    """As the settings say, relative to the configuration's folder; else in the runtime folder."""
    if not settings.monitor.socket:
        return paths.runtime / NAME
    folder = settings.file.parent if settings.file is not None else paths.config
    return folder / Path(settings.monitor.socket).expanduser()
