"""HTTP as sources need it: redirects followed with care, errors in Kolo's words.

Blocking: used in threads of their own, never on an event loop.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from typing import Any, Protocol, TypeVar

import httpx2

import kolo
from kolo.config import Settings
from kolo.errors import SourceError, SourceUnreachable
from kolo.models.reference import HubRef, OciRef, RemoteRef
from kolo.models.sources.guard import PublicOnly, Resolve, origin, resolve
from kolo.models.sources.threads import in_thread

T = TypeVar("T")

MAX_REDIRECTS = 10
CONNECT_TIMEOUT_S = 15.0
_REDIRECTS = (301, 302, 303, 307, 308)


class Auth(Protocol):
    """Who says what to send as Authorization, and where: a token leaves for no other origin."""

    hint: str
    """What to do when the source refuses."""

    def header(self, url: httpx2.URL) -> str | None: ...

    def challenged(self, response: httpx2.Response) -> bool:
        """The reply to a request was 401; True if it is worth another try now."""
        ...


class NoAuth:
    hint = "It is not public. Download it by other means, and name the file."

    def header(self, url: httpx2.URL) -> str | None:
        return None

    def challenged(self, response: httpx2.Response) -> bool:
        return False


class Broken(Exception):
    """The connection could not be made, or broke: another try may do better."""


async def with_web(
    reference: RemoteRef, settings: Settings, allow_private: bool, ask: Callable[[Web], T]
) -> T:
    """What ``ask`` says, called with a client in a thread; cancelling breaks off what it does.
    SourceUnreachable where the source does not answer."""
    made: list[Web] = []

    def work() -> T:
        # Made here: reading the certificates takes a while.
        with closing(web_for(reference, settings, allow_private=allow_private)) as web:
            made.append(web)
            return ask(web)

    def cut() -> None:
        for web in made:
            web.cut()

    try:
        return await in_thread(work, cut, name="ask a source")
    except Broken as error:
        raise SourceUnreachable(
            f"{reference} cannot be reached: {error}",
            hint="Check the address and the connection.",
        ) from error


def web_for(reference: RemoteRef, settings: Settings, *, allow_private: bool) -> Web:
    """The client that a reference needs, with its tokens."""
    auth: Auth = NoAuth()
    trusted: set[str] = set()
    # Imported when asked for, as in plan: each brings libraries of its own.
    if isinstance(reference, HubRef):
        from kolo.models.sources.hub import HubAuth

        auth = HubAuth()
        trusted = {auth.origin}
    elif isinstance(reference, OciRef):
        from kolo.models.sources import registry

        auth = registry.RegistryAuth(reference, settings, allow_private=allow_private)
        trusted = registry.trusted(reference, settings)
    return Web(
        allow_private=allow_private,
        trusted=trusted,
        auth=auth,
        read_timeout_s=float(settings.downloads.stall_timeout_s),
    )


class Web:
    """A client for one task, in one thread; ``cut`` alone may be called from another."""

    def __init__(
        self,
        *,
        allow_private: bool,
        trusted: Collection[str] = (),
        auth: Auth | None = None,
        read_timeout_s: float = 30.0,
        resolve: Resolve = resolve,
    ) -> None:
        self.auth: Auth = auth or NoAuth()
        self._cut = False
        self._stream: socket.socket | None = None
        self._client = httpx2.Client(
            # None leaves httpx2 its own, with the proxies of the environment.
            transport=None if allow_private else PublicOnly(trusted, resolve=resolve),
            # One connection at a time, so that cut knows which.
            limits=httpx2.Limits(max_keepalive_connections=0),
            follow_redirects=False,
            timeout=httpx2.Timeout(read_timeout_s, connect=CONNECT_TIMEOUT_S),
            headers={"User-Agent": f"kolo/{kolo.__version__}", "Accept-Encoding": "identity"},
        )

    def close(self) -> None:
        self._client.close()
        self._watch(None)

    def cut(self) -> None:
        """Break the connection off, so that whoever waits on it wakes, with Broken."""
        self._cut = True
        if (stream := self._stream) is not None:
            with suppress(OSError):  # it is gone already
                stream.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def open(
        self, url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> Iterator[httpx2.Response]:
        """The response at the end of all redirects, its body unread.

        Raises Broken, also for what breaks inside the block; SourceUnreachable where no further
        try would help; PrivateSource; SourceError for redirects that lead nowhere.
        """
        try:
            response = self._follow(httpx2.URL(url), method, headers or {})
            try:
                yield response
            finally:
                response.close()
        except httpx2.InvalidURL as error:
            raise SourceError(f"the source leads to a URL that is none: {error}") from error
        except httpx2.UnsupportedProtocol as error:
            raise SourceError(f"the source leads to {error}") from error
        except (httpx2.TransportError, httpx2.StreamError, OSError) as error:
            if _is_certificate(error):
                raise SourceUnreachable(
                    f"{httpx2.URL(url).host} does not prove who it is: {_told(error)}",
                    hint="If a certificate of your own stands behind it, name it with "
                    "SSL_CERT_FILE.",
                ) from error
            if isinstance(error, OSError) and not isinstance(error, ConnectionError | TimeoutError):
                raise  # of the disk, not of the network
            raise Broken(_told(error)) from error

    def small(
        self, url: str, limit: int, *, headers: Mapping[str, str] | None = None
    ) -> tuple[httpx2.Response, bytes]:
        """A whole body of at most ``limit`` bytes. SourceError for a longer one."""
        with self.open(url, headers=headers) as response:
            body = bytearray()
            for chunk in response.iter_raw():
                body += chunk
                if len(body) > limit:
                    raise SourceError(
                        f"{httpx2.URL(url).host} sends more than {limit} bytes where a short "
                        "answer belongs",
                        hint="Check the address: it may be that of something else.",
                    )
            return response, bytes(body)

    def _follow(self, url: httpx2.URL, method: str, headers: Mapping[str, str]) -> httpx2.Response:
        seen = []
        tried_again = False
        while True:
            seen.append(str(url))
            response = self._send(url, method, headers)
            if response.status_code == 401 and not tried_again and self.auth.challenged(response):
                response.close()
                tried_again = True
                seen.pop()
                continue
            location = response.headers.get("Location")
            if response.status_code not in _REDIRECTS or not location:
                return response
            response.close()
            target = url.join(location)
            _check_redirect(url, target, seen)
            url = target

    def _send(self, url: httpx2.URL, method: str, headers: Mapping[str, str]) -> httpx2.Response:
        if self._cut:
            raise Broken("broken off")
        token = self.auth.header(url)
        given = {**headers, **({"Authorization": token} if token else {})}
        request = self._client.build_request(
            method, url, headers=given, extensions={"trace": self._trace}
        )
        return self._client.send(request, stream=True)

    def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Of httpcore (its "trace" extension): every connection, as soon as there is one."""
        if event.endswith("connect_tcp.complete"):
            self._watch(info["return_value"].get_extra_info("socket"))

    def _watch(self, sock: socket.socket | None) -> None:
        """Hold on to a copy: TLS would mind the original being shut behind its back."""
        before, self._stream = self._stream, None
        if before is not None:
            before.close()
        if sock is not None:
            self._stream = socket.socket(fileno=os.dup(sock.fileno()))
            if self._cut:
                self.cut()


def _check_redirect(url: httpx2.URL, target: httpx2.URL, seen: list[str]) -> None:
    if target.scheme not in ("http", "https") or not target.host:
        raise SourceError(f"{url.host} redirects to {origin(target)}, which cannot be fetched from")
    if url.scheme == "https" and target.scheme == "http":
        raise SourceError(
            f"{url.host} redirects to {target.host} without encryption, which is not followed",
            hint="Use the address it redirects to, if you trust the way there.",
        )
    if str(target) in seen or len(seen) > MAX_REDIRECTS:
        raise SourceError(
            f"{httpx2.URL(seen[0]).host} redirects in a circle"
            if str(target) in seen
            else f"{httpx2.URL(seen[0]).host} redirects more than {MAX_REDIRECTS} times",
            hint="Try the address in a browser, or ask whoever runs the source.",
        )


def _is_certificate(error: BaseException) -> bool:
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, ssl.SSLCertVerificationError):
            return True
        found = found.__cause__ or found.__context__
    return False


def _told(error: BaseException) -> str:
    if isinstance(error, httpx2.TimeoutException):
        return "no answer in time"
    text = str(error).strip()
    return text[:300] if text else type(error).__name__
