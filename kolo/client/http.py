"""Requests to a server: bytes out, bytes or events in, and every failure one of our errors."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    aclosing,
    asynccontextmanager,
    contextmanager,
)
from types import TracebackType
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec

from kolo.beacon import key_for, own_server
from kolo.client.sse import Event, Reader
from kolo.client.transport import Broken, Reply, Silent, Transport, Unreached
from kolo.errors import (
    AuthFailed,
    Busy,
    InternalError,
    KoloError,
    ServerUnreachable,
    UsageError,
)

CONNECT_S = 2.0
REPLY_S = 600.0
"""The longest wait for a reply that is computed before it is sent (embeddings)."""
SILENCE_S = 60.0
"""A stream that sends nothing for so long, no heartbeat either (10 s), comes from nobody."""
Query = Mapping[str, str] | None
LOCAL = ("127.0.0.1", "::1", "localhost")


class Http:
    """One server. Use it as ``async with``: connections are kept until the end of it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._transport = _transport(url)

    async def __aenter__(self) -> Http:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._transport.aclose()

    async def get(self, path: str, type_: Any = Any, *, query: Query = None) -> Any:
        """The JSON reply of ``path`` as ``type_``. Raises ServerUnreachable, or the server's own
        error as the class it was there."""
        return await self._ask("GET", path, None, type_, query, REPLY_S)

    async def post(
        self,
        path: str,
        body: Any,
        type_: Any = Any,
        *,
        query: Query = None,
        timeout_s: float | None = REPLY_S,
    ) -> Any:
        """As ``get``, with a JSON body; ``timeout_s`` is the longest wait for the reply."""
        return await self._ask("POST", path, body, type_, query, timeout_s)

    async def delete(self, path: str, *, query: Query = None) -> Any:
        """As ``get``."""
        return await self._ask("DELETE", path, None, Any, query, REPLY_S)

    @asynccontextmanager
    async def events(
        self, method: str, path: str, body: Any = None
    ) -> AsyncIterator[AsyncIterator[Event]]:
        """The events of a stream as they come. Leaving the block closes the connection, by which
        the server knows. Raises as ``get``, at the start or on the way."""
        key = key_for(self.url)
        async with AsyncExitStack() as held:
            with self._troubles():
                asked = self._asked(method, path, body, key, SILENCE_S)
                reply = await held.enter_async_context(asked)
                if reply.status != 200:
                    raise self._error_of(path, reply, await _whole(reply), key)
            yield await held.enter_async_context(aclosing(self._read(reply)))

    async def _ask(
        self,
        method: str,
        path: str,
        body: Any,
        type_: Any,
        query: Query,
        timeout_s: float | None,
    ) -> Any:
        target = f"{path}?{urlencode(query)}" if query else path
        key = key_for(self.url)
        with self._troubles():
            async with self._asked(method, target, body, key, timeout_s) as reply:
                data = await _whole(reply)
        if reply.status >= 300:
            raise self._error_of(path, reply, data, key)
        try:
            return msgspec.json.decode(data, type=type_)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _stranger(self.url, f"{method} {path}: {error}") from error

    def _asked(
        self, method: str, target: str, body: Any, key: str, read_s: float | None
    ) -> AbstractAsyncContextManager[Reply]:
        headers = {} if body is None else {"Content-Type": "application/json"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        data = None if body is None else msgspec.json.encode(body)
        return self._transport.asked(method, target, data, headers, read_s)

    async def _read(self, reply: Reply) -> AsyncGenerator[Event, None]:
        reader = Reader()
        with self._troubles():
            async with aclosing(reply.pieces()) as pieces:
                async for piece in pieces:
                    for event in reader.feed(piece):
                        yield event

    def _error_of(self, path: str, reply: Reply, body: bytes, key: str) -> KoloError:
        if reply.status == 401 and key != key_for(self.url):  # each start has a token of its own
            return ServerUnreachable(
                f"the server at {self.url} has just started again", hint="the same once more"
            )
        told = error_in(body)
        if told is None:
            return _stranger(self.url + path, f"it answered {reply.status}")
        if type(told) is InternalError:  # a word that is no error of ours, such as "not_found"
            cls = _BY_STATUS.get(reply.status, UsageError if reply.status < 500 else InternalError)
            told = cls(told.message, hint=told.hint, param=told.param)
        retry_after = reply.header("retry-after")
        if retry_after.isdecimal():
            told.retry_after_s = float(retry_after)
        return told

    @contextmanager
    def _troubles(self) -> Iterator[None]:
        """What goes wrong between here and the server, in our words."""
        try:
            yield
        except Unreached as error:
            raise ServerUnreachable(
                f"no server answers at {self.url}",
                hint="kolo serve, or --url with the address of one that runs",
            ) from error
        except Silent as error:
            raise ServerUnreachable(
                f"the server at {self.url} has gone silent",
                hint="Look at what it prints, and start it again if it hangs.",
            ) from error
        except Broken as error:
            raise ServerUnreachable(
                f"the server at {self.url} went away: {error}",
                hint="Look at what it printed, and start it again: kolo serve",
            ) from error


class _Error(msgspec.Struct):
    message: str
    code: str | int | None = None
    type: str | None = None
    param: str | None = None
    hint: str = ""

    def bare(self) -> str:
        """The message without the hint, which it ends with for readers that look no further."""
        return self.message.removesuffix(f". {self.hint[:1].upper()}{self.hint[1:]}")


class _Envelope(msgspec.Struct):
    error: _Error


def error_in(data: bytes) -> KoloError | None:
    """The error that an event or a body holds, if it holds one."""
    try:
        error = msgspec.json.decode(data, type=_Envelope).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    cls = _by_code().get(str(error.code), InternalError)
    return cls(error.bare(), hint=error.hint, param=error.param)


_BY_STATUS: dict[int, type[KoloError]] = {401: AuthFailed, 403: AuthFailed, 429: Busy, 503: Busy}


def _by_code() -> dict[str, type[KoloError]]:
    found: dict[str, type[KoloError]] = {}
    waiting: list[type[KoloError]] = [KoloError]
    while waiting:
        cls = waiting.pop()
        found[cls.code] = cls
        waiting += (each for each in cls.__subclasses__() if each.__module__ == cls.__module__)
    found[InternalError.code] = InternalError
    return found


def _stranger(url: str, what: str) -> ServerUnreachable:
    return ServerUnreachable(
        f"what answers at {url} is no Kolo server, or a much older one: {what}",
        hint="kolo serve, or --url with the address of one that runs",
    )


async def _whole(reply: Reply) -> bytes:
    return b"".join([piece async for piece in reply.pieces()])


def _transport(url: str) -> Transport:
    """For this machine what is light to import, and takes no proxy."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        from kolo.client.plain import PlainTransport

        return PlainTransport(url, CONNECT_S)
    if parts.scheme == "http" and parts.hostname in LOCAL and parts.username is None:
        from kolo.client.plain import PlainTransport

        return PlainTransport(url, CONNECT_S)
    from kolo.client.web import WebTransport

    own = own_server(url)
    return WebTransport(url, CONNECT_S, own.certificate if own is not None else "")
