"""Lines that break are kept up; ssh and the socket say what is wrong."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path

import psutil
import pytest
from watching_top import recorded

from kolo.errors import KoloError, ServerUnreachable, UsageError
from kolo.snapshot import PROTOCOL, Hello, Message, Refused, Snapshot, encode
from kolo.top.demo.world import World
from kolo.top.session import Link, Told
from kolo.top.sources.base import LONGEST_WAIT_S, Backoff, check, keep_up
from kolo.top.sources.socket import Socket
from kolo.top.sources.ssh import Ssh


async def first(source: AsyncGenerator[Told, None], n: int) -> list[Told]:
    told: list[Told] = []
    async with asyncio.timeout(20), aclosing(source) as stream:
        async for one in stream:
            told.append(one)
            if len(told) == n:
                return told
    return told


async def ended(messages: AsyncGenerator[Message, None]) -> None:
    """Hear it to its end."""
    async with aclosing(messages) as stream:
        async for _ in stream:
            pass


def at_once() -> Backoff:
    """A backoff whose waits are there and take no time."""

    class AtOnce(Backoff):
        def next_s(self) -> float:
            super().next_s()
            return 0.0

    return AtOnce()


def test_waits_grow_to_five_seconds_and_begin_anew() -> None:
    backoff = Backoff(lambda: 1.0)
    waits = [backoff.next_s() for _ in range(6)]
    assert waits == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    assert max(waits) == LONGEST_WAIT_S
    backoff.reset()
    assert backoff.next_s() == 0.5
    assert Backoff(lambda: 0.0).next_s() == pytest.approx(0.4)


async def test_a_source_that_dies_is_made_anew_for_ever() -> None:
    made = 0

    async def dying() -> AsyncGenerator[Message, None]:
        nonlocal made
        made += 1
        if made % 2:
            raise ServerUnreachable("nobody there", hint="start one")
        yield World().hello()
        yield recorded()[-1]

    told = await first(keep_up(dying, interval_s=lambda: 1.0, backoff=at_once()), 9)
    kinds = [one.state if isinstance(one, Link) else type(one).__name__ for one in told]
    assert kinds == [
        "missing", "Hello", "Snapshot", "stale", "stale", "Hello", "Snapshot", "stale", "stale",
    ]  # fmt: skip
    assert isinstance(told[0], Link)
    assert (told[0].detail, told[0].hint) == ("nobody there", "start one")


async def test_a_defect_is_not_hidden_by_trying_again() -> None:
    async def broken() -> AsyncGenerator[Message, None]:
        raise ZeroDivisionError
        yield World().hello()

    with pytest.raises(ZeroDivisionError):
        await first(keep_up(broken, interval_s=lambda: 1.0), 1)


def test_another_version_is_named_on_both_sides() -> None:
    hello = World().hello()
    other = Hello(protocol=PROTOCOL + 1, server=hello.server)
    with pytest.raises(ServerUnreachable, match=f"version {PROTOCOL + 1}") as raised:
        check(other)
    assert "this program" in raised.value.hint
    with pytest.raises(ServerUnreachable, match="too many"):
        check(Refused(message="too many watch"))


async def test_no_socket_says_how_to_start_a_server(tmp_path: Path) -> None:
    told = await first(Socket(tmp_path / "none.sock").told(), 1)
    assert isinstance(told[0], Link)
    assert told[0].state == "missing"
    assert "kolo serve" in told[0].hint


# ssh -------------------------------------------------------------------------------------


@pytest.fixture
def fake_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts a program named ssh first in PATH; it writes its arguments to ``asked``."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def put(body: str) -> Path:
        program = folder / "ssh"
        asked = tmp_path / "asked"
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {asked}\n{body}\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        return asked

    return put


async def test_over_ssh_comes_what_kolo_says_there(
    fake_ssh: Callable[[str], Path], tmp_path: Path
) -> None:
    """The fake runs the command here, as a login there would."""
    kolo = tmp_path / "bin" / "kolo"
    kolo.write_text(f'#!/bin/sh\nexec {sys.executable} -m kolo "$@" --demo\n')
    kolo.chmod(0o755)
    asked = fake_ssh('while [ "$1" != "--" ]; do shift; done; shift; shift; exec sh -c "$*"')
    told = await first(Ssh("ana@gpu1", interval_s=0.5).told(), 15)
    assert isinstance(told[0], Hello)
    assert told[0].server.host == "demo"
    assert any(isinstance(one, Snapshot) for one in told)
    words = asked.read_text().splitlines()
    assert words[-2:] == ["ana@gpu1", "kolo top --jsonl --interval 0.5"]
    assert "BatchMode=yes" in words


async def test_ssh_that_fails_says_what_it_said(fake_ssh: Callable[[str], Path]) -> None:
    fake_ssh("echo 'Permission denied (publickey).' >&2; exit 255")
    told = await first(Ssh("gpu1").told(), 1)
    assert isinstance(told[0], Link)
    assert told[0].detail == "ssh gpu1: Permission denied (publickey)."
    assert told[0].hint == "Try it: ssh gpu1 true"


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ("exit 127", "no kolo in the PATH"),
        ("echo Welcome; sleep 5", "none of the monitor's lines: Welcome"),
        ("echo 'error: no server is running' >&2; exit 3", "gpu1: no server is running"),
        ("exit 1", "kolo top ended with 1"),
        (f"printf '{'x' * 70}'; exit 0", "none of the monitor's lines"),
    ],
)
async def test_what_went_wrong_over_there_is_told(
    fake_ssh: Callable[[str], Path], body: str, detail: str
) -> None:
    fake_ssh(body)
    with pytest.raises(KoloError) as raised:
        await ended(Ssh("gpu1").once())
    assert detail in raised.value.message


async def test_ssh_is_ended_with_the_screen(
    fake_ssh: Callable[[str], Path], tmp_path: Path
) -> None:
    lines = tmp_path / "lines"
    lines.write_bytes(encode(World().hello()))
    fake_ssh(f"cat {lines}; exec sleep 1000")
    source = Ssh("gpu1")
    async with aclosing(source.told()) as stream:
        await anext(stream)
        assert source._process is not None
        pid = source._process.pid
        assert psutil.pid_exists(pid)
    assert not psutil.pid_exists(pid)


@pytest.mark.parametrize("host", ["", "-oProxyCommand=evil", "a b", "a\nb"])
def test_a_host_that_is_an_option_is_refused(host: str) -> None:
    with pytest.raises(UsageError):
        Ssh(host)


async def test_no_ssh_at_all_is_said() -> None:
    with pytest.raises(ServerUnreachable, match="cannot be started"):
        await ended(Ssh("gpu1", program="/nonexistent/ssh").once())
