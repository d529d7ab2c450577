"""Who has a TCP port."""

from __future__ import annotations

import shlex
from contextlib import suppress


def holder(port: int) -> str:
    """Who listens on ``port``, as far as this user may know: `` by process 4711: nginx``, or
    nothing."""
    import psutil

    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN
            here = getattr(connection.laddr, "port", None) == port  # an empty tuple has none
            if listens and here and connection.pid is not None:
                process = psutil.Process(connection.pid)
                line = shlex.join(process.cmdline()) or process.name()
                shown = line if len(line) <= 80 else f"{line[:80]}…"
                return f" by process {connection.pid}: {shown}"
    return ""
