"""What a server that runs makes of settings that were changed."""

from __future__ import annotations

import os
from collections.abc import Iterable

OF_COMMANDS = ("chat.", "complete.", "embed.")
"""Sections that a server does not read."""
CHOOSES = ("profile", "profiles.")


def server_note(keys: Iterable[str]) -> str | None:
    """What a server of this machine needs to go by the changed ``keys``; None if nothing, or if
    none runs."""
    own = [key for key in keys if not key.startswith(OF_COMMANDS)]
    if not own:
        return None
    from kolo import beacon
    from kolo.paths import find_paths

    running = beacon.read(find_paths(os.environ))
    if running is None:
        return None
    from kolo.server.reload import is_live

    late = [key for key in own if not is_live(key) and not key.startswith(CHOOSES)]
    server = f"a server runs (process {running.pid})"
    if not late:
        return f"{server}: kolo reload has it heed this"
    what = "this" if len(own) == 1 else ", ".join(late)
    return f"{server}: it heeds {what} when it is started again"
