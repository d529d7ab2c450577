"""What a service tells systemd, read from the other end of a real socket."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kolo.service.notify import Notifier

PATIENCE_S = 30.0


@pytest.fixture
def theirs(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE_S)
        sock.bind(str(tmp_path / "notify"))
        yield sock


def said(sock: socket.socket) -> dict[str, str]:
    return dict(line.split("=", 1) for line in sock.recv(4096).decode().splitlines())


def test_each_word_of_the_protocol(theirs: socket.socket) -> None:
    notifier = Notifier(theirs.getsockname())
    notifier.ready("serves at\nhttp://127.0.0.1:8080")
    assert said(theirs) == {"READY": "1", "STATUS": "serves at http://127.0.0.1:8080"}
    before_us = time.monotonic_ns() // 1000
    notifier.reloading()
    told = said(theirs)
    assert told["RELOADING"] == "1"
    assert before_us <= int(told["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
    notifier.alive()
    assert said(theirs) == {"WATCHDOG": "1"}
    notifier.stopping("stopping", 12.5)
    assert said(theirs) == {
        "STOPPING": "1",
        "EXTEND_TIMEOUT_USEC": "12500000",
        "STATUS": "stopping",
    }


def test_an_abstract_socket(tmp_path: Path) -> None:
    name = f"kolo-test-{os.getpid()}-{tmp_path.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE_S)
        sock.bind(f"\0{name}")
        Notifier(f"@{name}").status("well")
        assert said(sock) == {"STATUS": "well"}


def test_the_variables_are_taken_out_so_that_no_child_speaks_for_the_service() -> None:
    env = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "5000000", "HOME": "/"}
    notifier = Notifier.from_environment(env)
    assert (notifier.heard, notifier.watchdog_s) == (True, 5.0)
    assert env == {"HOME": "/"}


@pytest.mark.parametrize(
    ("env", "watchdog_s"),
    [
        ({}, 0.0),
        ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "soon"}, 0.0),
        ({"NOTIFY_SOCKET": "vsock:2:1", "WATCHDOG_USEC": "1000000"}, 0.0),
        (
            {
                "NOTIFY_SOCKET": "/run/x",
                "WATCHDOG_USEC": "1000000",
                "WATCHDOG_PID": str(os.getpid()),
            },
            1.0,
        ),
    ],
)
def test_a_watchdog_that_is_meant_for_us(env: dict[str, str], watchdog_s: float) -> None:
    assert Notifier.from_environment(env).watchdog_s == watchdog_s


def test_nobody_who_listens_is_no_trouble(tmp_path: Path) -> None:
    Notifier().ready("well")
    gone = Notifier(str(tmp_path / "gone"))
    gone.ready("well")
    gone.alive()
