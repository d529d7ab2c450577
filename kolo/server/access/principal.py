"""Who is asking, and with what right."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from kolo.keys import SCOPES, Key, Scope
from kolo.server.access.limits import Allowance, Limits

EVERYTHING: frozenset[Scope] = frozenset(SCOPES)


@dataclass(frozen=True, slots=True)
class Principal:
    """An account of the manager's kind: what it asks counts against ``name``."""

    name: str
    """Id of the key, or the address; ``local`` for the operator of this machine."""
    label: str
    """For the audit log."""
    scopes: frozenset[Scope]
    limits: Limits
    allowed: Allowance
    key: Key | None = None

    def may(self, scopes: tuple[Scope, ...]) -> bool:
        """Whether one of ``scopes`` is among his; a route for everybody has none."""
        return not scopes or not self.scopes.isdisjoint(scopes)

    def charge(self, n_tokens: int) -> None:
        keyed = self.key is not None
        self.limits.charge(self.name, n_tokens, self.allowed, keyed=keyed)


def by_key(key: Key, limits: Limits, allowed: Allowance) -> Principal:
    """``allowed`` but for what the key itself says."""
    own = allowed
    if key.requests_per_minute is not None or key.tokens_per_minute is not None:
        server = allowed.per_minute()
        own = Allowance(
            server.requests if key.requests_per_minute is None else key.requests_per_minute,
            server.tokens if key.tokens_per_minute is None else key.tokens_per_minute,
        )
    label = f"key {key.id} ({key.name})"
    return Principal(key.id, label, frozenset(key.scopes), limits, own, key)


def by_address(
    host: str, limits: Limits, allowed: Allowance, scopes: frozenset[Scope] = EVERYTHING
) -> Principal:
    """Whoever asks from an address; of IPv6 a whole /64, which is one customer's."""
    name = _network(host) or "local"
    return Principal(name, name, scopes, limits, allowed)


def operator(label: str, limits: Limits) -> Principal:
    """Whoever runs the server, or may read what is his alone; without limits."""
    return Principal("local", label, EVERYTHING, limits, Allowance())


def _network(host: str) -> str:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address) or address.is_loopback:
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))
