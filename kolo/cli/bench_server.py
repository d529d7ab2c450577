"""The server that a benchmark starts for itself: ``python -m kolo.cli.bench_server``.

One model, a free port of this machine, known to nobody but its parent: it writes one line of
JSON to stdout when it listens, and ends when stdin does, so that it cannot outlive who started it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from kolo.beacon import server_url
from kolo.cli.named import plan
from kolo.config import load_settings
from kolo.errors import ErrorInfo, KoloError, internal

if TYPE_CHECKING:
    from kolo.server.run import Stop


class Order(Struct, frozen=True, kw_only=True):
    """What the parent writes to stdin, as one line."""

    model: str
    params: dict[str, Any] = {}
    """Fields of LoadParams that win over the settings."""


class Ready(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What it writes to stdout: where it is, or why it is not."""

    url: str = ""
    model: str = ""
    """The name of the model there."""
    error: ErrorInfo | None = None


def main() -> int:
    """Serve until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which closes stdin
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
    try:
        asyncio.run(_serve(order))
    except KoloError as error:
        _say(Ready(error=error.info()))
        return error.exit_code
    except Exception as error:  # the parent is to know of a defect too
        _say(Ready(error=internal(error).info()))
        raise
    return 0


async def _serve(order: Order) -> None:
    from kolo.manager.manager import Manager
    from kolo.monitor.monitor import Monitor
    from kolo.server.app import create_app
    from kolo.server.options import Options
    from kolo.server.run import Stop, serve

    settings = load_settings()
    settings = replace(settings, engine=replace(settings.engine, **order.params))
    what = plan(settings, [order.model], order.params, None)
    settings, name = what.settings, what.load[0]
    options = dataclasses.replace(Options.from_settings(settings), host="127.0.0.1", port=0)
    monitor, stop = Monitor(), Stop()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _stop_at_end, stop)
    async with Manager(settings, sink=monitor.sink) as manager:
        await manager.load(name)
        app = create_app(manager, settings, monitor=monitor, options=options)
        await serve(
            app,
            on_listening=lambda host, port: _say(Ready(url=server_url(host, port), model=name)),
            stop=stop,
        )


def _stop_at_end(stop: Stop) -> None:
    """Nobody has anything to say on stdin: it is readable when it ends."""
    asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
    stop.ask()
    stop.ask()


def _say(ready: Ready) -> None:
    os.write(1, msgspec.json.encode(ready) + b"\n")


if __name__ == "__main__":
    sys.exit(main())
