"""Requests to a server: bytes out, bytes or events in, and every failure one of our errors."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import httpx2
import msgspec

from kolo.client.sse import Event, Reader
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
        self._client = httpx2.AsyncClient(
            base_url=url,
            # A proxy for the web is none for this machine.
            trust_env=urlsplit(url).hostname not in LOCAL,
            limits=httpx2.Limits(max_connections=None),
        )

    async def __aenter__(self) -> Http:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._client.aclose()

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
        async with AsyncExitStack() as held:
            with self._troubles():
                response = await held.enter_async_context(
                    self._client.stream(
                        method,
                        path,
                        timeout=_timeout(SILENCE_S),
                        **_content(body),
                    )
                )
                if response.status_code != 200:
                    raise _error_of(response, await response.aread())
            yield await held.enter_async_context(aclosing(self._read(response)))

    async def _ask(
        self,
        method: str,
        path: str,
        body: Any,
        type_: Any,
        query: Query,
        timeout_s: float | None,
    ) -> Any:
        timeout = _timeout(timeout_s)
        with self._troubles():
            response = await self._client.request(
                method, path, params=query, timeout=timeout, **_content(body)
            )
        if response.status_code >= 300:
            raise _error_of(response, response.content)
        try:
            return msgspec.json.decode(response.content, type=type_)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _stranger(self.url, f"{method} {path}: {error}") from error

    async def _read(self, response: httpx2.Response) -> AsyncGenerator[Event, None]:
        reader = Reader()
        with self._troubles():
            async for piece in response.aiter_bytes():
                for event in reader.feed(piece):
                    yield event

    @contextmanager
    def _troubles(self) -> Iterator[None]:
        """What goes wrong between here and the server, in our words."""
        try:
            yield
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise ServerUnreachable(
                f"no server answers at {self.url}",
                hint="kolo serve, or --url with the address of one that runs",
            ) from error
        except httpx2.TimeoutException as error:
            raise ServerUnreachable(
                f"the server at {self.url} has gone silent",
                hint="Look at what it prints, and start it again if it hangs.",
            ) from error
        except (httpx2.RequestError, httpx2.InvalidURL) as error:
            raise ServerUnreachable(
                f"the server at {self.url} went away: {error or type(error).__name__}",
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


def _error_of(response: httpx2.Response, body: bytes) -> KoloError:
    told = error_in(body)
    status = response.status_code
    if told is None:
        return _stranger(str(response.request.url), f"it answered {status}")
    if type(told) is InternalError:  # a word that is no error of ours, such as "not_found"
        cls = _BY_STATUS.get(status, UsageError if status < 500 else InternalError)
        told = cls(told.message, hint=told.hint, param=told.param)
    retry_after = response.headers.get("Retry-After", "")
    if retry_after.isdecimal():
        told.retry_after_s = float(retry_after)
    return told


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


def _timeout(read_s: float | None) -> httpx2.Timeout:
    return httpx2.Timeout(SILENCE_S, connect=CONNECT_S, read=read_s)


def _content(body: Any) -> dict[str, Any]:
    if body is None:
        return {}
    return {
        "content": msgspec.json.encode(body),
        "headers": {"Content-Type": "application/json"},
    }
