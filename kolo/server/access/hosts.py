"""Against DNS rebinding: a page of some site whose name now leads to this machine.

A browser sends the site's name as ``Host``. So who listens on loopback answers to ``localhost``,
to addresses in numbers, and to the names in ``access.allowed_hosts``. Who listens beyond it has
names that only the operator knows: there the list is heeded once there is one.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from kolo.errors import Forbidden

MAX_SHOWN_CHARS = 100


class HostForbidden(Forbidden):
    code = "host_not_allowed"


class Hosts:
    def __init__(self, allowed: Iterable[str], *, loopback: bool) -> None:
        self._names = {name.lower().rstrip(".") for name in allowed}
        self._heeded = loopback or bool(self._names)

    def check(self, host: str) -> None:
        """HostForbidden for a ``Host`` header that names somebody else."""
        if self._heeded and host and not self._is_ours(_name_of(host)):
            raise HostForbidden(
                f"this server is not called {host[:MAX_SHOWN_CHARS]!r}",
                hint="Use localhost or its address, or add the name to access.allowed_hosts.",
            )

    def _is_ours(self, name: str) -> bool:
        if name == "localhost" or name.endswith(".localhost") or name in self._names:
            return True
        try:
            ipaddress.ip_address(name.partition("%")[0])
        except ValueError:
            return False
        return True


def _name_of(host: str) -> str:
    """Without the port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0].lower().rstrip(".") if ":" in host else host.lower().rstrip(".")
