"""Somewhere to send a request, behind one small interface.

Who asks (``kolo chat``, ``kolo complete``, a benchmark) knows ``Connection`` and nothing of how
it is made. There are two makers: the HTTP client of a running server, and a manager of our own,
whose workers end with the connection.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from kolo.beacon import find_server
from kolo.config import Settings
from kolo.errors import ModelNotFound
from kolo.types import Delta, Generate, Generated, Operation, Result

if TYPE_CHECKING:
    from kolo.client.http import Http


class Stream(Protocol):
    """An answer as it comes. Close it, read to its end or not: that frees the engine."""

    def __aiter__(self) -> AsyncIterator[Delta]: ...

    @property
    def result(self) -> Generated | None:
        """Usage and timings, once the answer has been read to its end."""

    async def aclose(self) -> None:
        """Read no more: the request is cancelled if it still runs."""


class Connection(Protocol):
    """Takes requests for any model, which it loads first if it must.

    ``where`` is ``local``, or a server's address. Every method raises KoloError.
    """

    where: str

    async def generate(
        self, model: str, op: Generate, *, reading: Callable[[float], None] | None = None
    ) -> Stream:
        """``reading`` is told now and then how far the prompt has been read, 0 to 1."""

    async def call(self, model: str, op: Operation) -> Result:
        """Any operation but Generate."""


class Watcher(Protocol):
    """Is told what a connection does before an answer comes."""

    def loading(self, model: str, fraction: float | None) -> None:
        """How far a model is loaded, 0 to 1; None when it is there, or will not be."""

    def unloaded(self, model: str) -> None:
        """A model is gone again."""

    def note(self, text: str) -> None:
        """Something a person should see."""


@asynccontextmanager
async def connect(
    settings: Settings,
    *,
    local: bool,
    model: str = "",
    url: str | None = None,
    watcher: Watcher | None = None,
    brief: bool = False,
) -> AsyncIterator[Connection]:
    """A connection; when the context is left, so is everything it started.

    ``local`` asks for engines of our own. Without it a server is used where one runs: that at
    ``url`` (or KOLO_URL), else the one that ``find_server`` finds, provided that it has
    ``model`` if that is a file. The watcher is told which. ``brief``: for so little work that an
    engine of our own need not be warmed up and timed before it.
    """
    address = None if local else find_server(settings, url=url)
    if address is not None:
        from kolo.client.http import Http  # slow to import, and only needed here

        async with Http(address) as http:
            server = await _remote(http, settings, model, watcher)
            if server is not None:
                if watcher is not None:
                    watcher.note(
                        f"using the server at {address} (--local for an engine of its own)"
                    )
                yield server
                return
        _check_may_be_local(address, model, given=bool(url or os.environ.get("KOLO_URL")))
        if watcher is not None:
            watcher.note(
                f"the server at {address} does not have {model}: using an engine of its own"
            )
    from kolo.manager.connection import local_connection  # the half of it that a server spares us

    async with local_connection(settings, watcher, brief=brief) as engines:
        yield engines


async def _remote(
    http: Http, settings: Settings, model: str, watcher: Watcher | None
) -> Connection | None:
    """The server, unless ``model`` is a file that it does not have."""
    from kolo.client.connection import RemoteConnection
    from kolo.client.engines import find_engine
    from kolo.client.names import file_of

    path = file_of(model, settings) if model else None
    if path is None:
        return RemoteConnection(http, watcher)
    engine = await find_engine(http, str(path))
    if engine is None:
        return None
    return RemoteConnection(http, watcher, {model: engine.engine_id})


def _check_may_be_local(address: str, model: str, *, given: bool) -> None:
    """A server that was asked for is not passed over."""
    if given:
        raise ModelNotFound(
            f"the server at {address} does not have {model}",
            hint=f"kolo load {model}, or --local for an engine of its own",
            param="model",
        )
