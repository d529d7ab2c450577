"""HTTP to a server anywhere: TLS, proxies and names, by httpx2."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import httpx2

from kolo.client.transport import Broken, Silent, Unreached

SEND_S = 60.0


class WebTransport:
    """Requests to one address, through the proxy that the environment names, if any."""

    def __init__(self, url: str, connect_s: float, certificate: str = "") -> None:
        """``certificate``: a file; the server there must have just that one, whatever its name."""
        self._connect_s = connect_s
        self._client = httpx2.AsyncClient(
            base_url=url,
            limits=httpx2.Limits(max_connections=None),
            verify=_just(certificate) if certificate else True,
        )

    @asynccontextmanager
    async def asked(
        self,
        method: str,
        target: str,
        body: bytes | None,
        headers: dict[str, str],
        read_s: float | None,
    ) -> AsyncIterator[WebReply]:
        timeout = httpx2.Timeout(SEND_S, connect=self._connect_s, read=read_s)
        request = self._client.build_request(
            method, target, content=body, headers=headers, timeout=timeout
        )
        with _in_our_words():
            response = await self._client.send(request, stream=True)
        try:
            yield WebReply(response)
        finally:
            await response.aclose()

    async def aclose(self) -> None:
        await self._client.aclose()


class WebReply:
    def __init__(self, response: httpx2.Response) -> None:
        self.status = response.status_code
        self._response = response

    def header(self, name: str) -> str:
        return self._response.headers.get(name, "")

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        with _in_our_words():
            async for piece in self._response.aiter_bytes():
                yield piece


def _just(certificate: str) -> ssl.SSLContext:
    """For a server of this machine, reached by an address that its certificate does not have."""
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


@contextmanager
def _in_our_words() -> Iterator[None]:
    try:
        yield
    except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
        raise Unreached(str(error)) from error
    except httpx2.TimeoutException as error:
        raise Silent from error
    except (httpx2.RequestError, httpx2.InvalidURL) as error:
        raise Broken(str(error) or type(error).__name__) from error
