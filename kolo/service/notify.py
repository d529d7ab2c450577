"""Telling systemd how the service is: the protocol of sd_notify(3), without its library.

A datagram of ``NAME=value`` lines to the socket that ``NOTIFY_SOCKET`` names. Without one nothing
is sent, and every method is harmless.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import MutableMapping

SEND_S = 1.0
"""The longest wait for a manager that does not read."""
USEC = 1_000_000

log = logging.getLogger(__name__)


class Notifier:
    """``address`` is that of systemd's socket, ``watchdog_s`` the silence after which it takes the
    service for hung; empty and 0 where there is none."""

    def __init__(self, address: str = "", watchdog_s: float = 0.0) -> None:
        self.watchdog_s = watchdog_s
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._complained = False

    @classmethod
    def from_environment(cls, env: MutableMapping[str, str]) -> Notifier:
        """What systemd said in ``env``, and takes it out: children are not to speak for us."""
        address = env.pop("NOTIFY_SOCKET", "")
        usec = env.pop("WATCHDOG_USEC", "")
        whose = env.pop("WATCHDOG_PID", "") or str(os.getpid())
        mine = usec.isdecimal() and whose == str(os.getpid())
        usable = address.startswith(("/", "@"))
        return cls(address if usable else "", int(usec) / USEC if mine and usable else 0.0)

    @property
    def heard(self) -> bool:
        """Whether anybody is told."""
        return bool(self._address)

    def ready(self, status: str) -> None:
        """The service takes requests: at the start, and when a reload is over."""
        self._send("READY=1", f"STATUS={status}")

    def status(self, text: str) -> None:
        """One line for ``systemctl status``."""
        self._send(f"STATUS={text}")

    def reloading(self) -> None:
        """A reload begins; ``ready`` ends it, however it went."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str, within_s: float) -> None:
        """The service is on its way out, which may take ``within_s``."""
        usec = round(within_s * USEC)
        self._send("STOPPING=1", f"EXTEND_TIMEOUT_USEC={usec}", f"STATUS={status}")

    def alive(self) -> None:
        """Not hung, as of now."""
        self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        data = "\n".join(" ".join(line.split("\n")) for line in lines).encode()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.settimeout(SEND_S)
                sock.sendto(data, self._address)
        except OSError as error:
            if not self._complained:
                self._complained = True
                log.warning("systemd cannot be told how this service is: %s", error)
