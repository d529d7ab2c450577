"""Connections to public addresses only, for downloads that somebody else asks this server for.

Checking a name and then letting a library resolve it again would leave a gap in which its owner
answers differently (DNS rebinding). Here a name is resolved once per connection, and what was
checked is what is connected to; TLS still asks for the certificate of the name.
"""

from __future__ import annotations

import ipaddress
import socket
import urllib.request
from collections.abc import Callable, Collection

import httpx2

from kolo.errors import PrivateSource

Resolve = Callable[[str, int], list[str]]
"""From a host and a port to addresses."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_UNICAST = ipaddress.ip_network("2000::/3")
"""All of IPv6 that is given out (RFC 4291, 2.4); ``is_global`` holds for some of the rest too."""


def is_public(address: str) -> bool:
    """Whether an address belongs to the public internet. An IPv6 address that only carries an
    IPv4 one (mapped, 6to4, Teredo, NAT64) is as public as that."""
    ip = ipaddress.ip_address(address.split("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        nat64 = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else None
        teredo = ip.teredo[1] if ip.teredo else None
        ip = ip.ipv4_mapped or ip.sixtofour or teredo or nat64 or ip
    if isinstance(ip, ipaddress.IPv6Address) and ip not in _UNICAST:
        return False
    return ip.is_global and not ip.is_multicast


def resolve(host: str, port: int) -> list[str]:
    """The system's answer. OSError if there is none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class PublicOnly(httpx2.BaseTransport):
    """Raises PrivateSource rather than connect to what is not public.

    ``trusted`` origins (``https://mirror.lan``) were chosen by the operator and are not checked.
    A proxy of the environment is the operator's too: it connects by its own rules, but is not
    asked for names that are private as seen from here.
    """

    def __init__(self, trusted: Collection[str] = (), *, resolve: Resolve = resolve) -> None:
        self._trusted = trusted
        self._resolve = resolve
        # Connections are told apart by address here, not by name: none may serve two names.
        self._direct = httpx2.HTTPTransport(limits=httpx2.Limits(max_keepalive_connections=0))
        self._proxies: dict[str, httpx2.HTTPTransport] = {}

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        proxy = _proxy_for(request.url)
        if origin(request.url) in self._trusted:
            return self._through(proxy).handle_request(request)
        addresses = self._public(request.url)
        if proxy is not None:
            return self._through(proxy).handle_request(request)
        for address in addresses[:-1]:
            try:
                return self._direct.handle_request(_to(request, address))
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                continue
        return self._direct.handle_request(_to(request, addresses[-1]))

    def close(self) -> None:
        for transport in (self._direct, *self._proxies.values()):
            transport.close()

    def _public(self, url: httpx2.URL) -> list[str]:
        """At least one address. PrivateSource if all that the name has are private."""
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            addresses = self._resolve(url.host, port)
        except (OSError, UnicodeError) as error:
            raise httpx2.ConnectError(f"{url.host} cannot be resolved: {error}") from error
        public = [address for address in addresses if is_public(address)]
        if not public:
            raise PrivateSource(
                f"{url.host} is an address of a private network ({addresses[0]}), and this "
                "server does not download from there",
                hint="Whoever runs the server can allow it: downloads.allow_private, or fetch "
                "the model with kolo pull.",
                param="model",
            )
        return public

    def _through(self, proxy: str | None) -> httpx2.HTTPTransport:
        if proxy is None:
            return self._direct
        if proxy not in self._proxies:
            self._proxies[proxy] = httpx2.HTTPTransport(proxy=proxy)
        return self._proxies[proxy]


def origin(url: httpx2.URL) -> str:
    """Scheme, host and port, the latter left out where it is the scheme's own."""
    return f"{url.scheme}://{url.netloc.decode()}"


def _to(request: httpx2.Request, address: str) -> httpx2.Request:
    """``request`` sent to an address; its Host header and TLS name stay those of the URL."""
    url = request.url
    return httpx2.Request(
        request.method,
        url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": url.host},
    )


def _proxy_for(url: httpx2.URL) -> str | None:
    proxies = urllib.request.getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    return None if not proxy or urllib.request.proxy_bypass(url.host) else proxy
