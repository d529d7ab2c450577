"""The monitor socket by itself: who may connect, what is said, and readers that do not read."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from published import DEADLINE_S, SERVER, Source, messages, publishing, until

from kolo.config import MonitorSettings, Settings
from kolo.errors import ConfigError, ServerUnreachable
from kolo.monitor.claim import SocketTakenError, claim, release
from kolo.monitor.eventlog import EventLog
from kolo.monitor.place import socket_path
from kolo.monitor.publish import EVENTS_BEHIND
from kolo.monitor.subscribe import connect
from kolo.paths import find_paths
from kolo.snapshot import (
    PROTOCOL,
    Ask,
    Dropped,
    Event,
    Hello,
    Message,
    Snapshot,
    decode,
    encode,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m.sock"


# What is said ----------------------------------------------------------------------------


async def test_a_client_gets_a_hello_then_what_happened_then_snapshots(path: Path) -> None:
    log = EventLog()
    log.add("server", "started")
    log.add("loading", "a loading", engine="a")
    async with publishing(path, log=log):
        hello, first, second, *snapshots = await messages(path, 5, interval_s=0.1)
    assert isinstance(hello, Hello)
    assert (hello.protocol, hello.server) == (PROTOCOL, SERVER)
    assert [e.text for e in (first, second) if isinstance(e, Event)] == ["started", "a loading"]
    assert [s.uptime_s for s in snapshots if isinstance(s, Snapshot)] == [1.0, 2.0]


async def test_an_event_is_told_at_once_between_snapshots(path: Path) -> None:
    log = EventLog()
    async with publishing(path, log=log), connect(path, interval_s=60) as link:
        stream = aiter(link)
        assert isinstance(await anext(stream), Snapshot)
        log.add("crashed", "a crashed", engine="a", level="error")
        async with asyncio.timeout(DEADLINE_S):
            event = await anext(stream)
        assert isinstance(event, Event)
        assert (event.kind, event.engine) == ("crashed", "a")


async def test_clients_of_one_interval_share_one_snapshot(path: Path) -> None:
    source = Source()
    async with publishing(path, source):
        found = await asyncio.gather(*(messages(path, 6, interval_s=0.2) for _ in range(20)))
    seen = [[m.uptime_s for m in each[2:] if isinstance(m, Snapshot)] for each in found]
    assert source.taken < 20
    assert len({tuple(each[-2:]) for each in seen}) <= 2


async def test_each_client_has_the_interval_it_asks_for(path: Path) -> None:
    source = Source()
    async with publishing(path, source), connect(path, interval_s=60) as slow:
        await messages(path, 8, interval_s=0.1)
        taken = source.taken
        assert taken >= 7
        slow.ask(0.1)
        async with asyncio.timeout(DEADLINE_S):
            count = 0
            async for message in slow:
                count += isinstance(message, Snapshot)
                if count == 4:
                    break
        assert source.taken > taken


async def test_nobody_watching_costs_nothing(path: Path) -> None:
    source = Source()
    async with publishing(path, source) as publisher:
        await messages(path, 3, interval_s=0.1)
        await until(lambda: publisher.n_clients == 0)
        taken = source.taken
        await asyncio.sleep(0.4)
        assert source.taken == taken


async def test_lines_are_plain_json_for_any_program(path: Path) -> None:
    async with publishing(path, log=EventLog()):
        program = (
            "import json, socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
            "lines = s.makefile(); print([json.loads(next(lines))['type'] for _ in range(3)])"
        )
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, str(path), stdout=subprocess.PIPE
        )
        out, _ = await asyncio.wait_for(child.communicate(), DEADLINE_S)
    assert out.decode().strip() == "['hello', 'snapshot', 'snapshot']"


async def test_a_client_that_will_ask_nothing_more_goes_on_reading(path: Path) -> None:
    async with publishing(path):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(encode(Ask(interval_s=0.1)))
        writer.write_eof()
        types = [type(decode(await reader.readline())) for _ in range(5)]
        writer.close()
    assert types == [Hello] + [Snapshot] * 4


@pytest.mark.parametrize(
    "line",
    ["hello", '{"interval_s": 0}', '{"interval_s": 1e9}', '{"interval": 1}', "[]", "\xff" * 5000],
)
async def test_what_is_no_request_is_refused_with_the_reason(path: Path, line: str) -> None:
    async with publishing(path) as publisher:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(line.encode("latin-1") + b"\n")
        *_, last = (await reader.read()).splitlines()
        assert b'"type":"refused"' in last
        assert b"interval_s" in last
        await until(lambda: publisher.n_clients == 0)
        writer.close()


async def test_a_line_without_an_end_is_cut_off(path: Path) -> None:
    async with publishing(path) as publisher:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b" " * 100_000)
        assert b"refused" in (await reader.read()).splitlines()[-1]
        await until(lambda: publisher.n_clients == 0)
        writer.close()


# Readers that do not read ----------------------------------------------------------------


def stopped(path: Path) -> socket.socket:
    """A client that connects and reads nothing."""
    client = socket.socket(socket.AF_UNIX)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(str(path))
    return client


async def test_a_stopped_reader_holds_up_nobody_and_is_told_what_it_missed(path: Path) -> None:
    source, log = Source(padding=500), EventLog()
    async with publishing(path, source, log):
        client = stopped(path)
        client.sendall(encode(Ask(interval_s=0.1)))
        found = await messages(path, 30, interval_s=0.1)
        assert [m.uptime_s for m in found if isinstance(m, Snapshot)][-1] >= 20
        for number in range(EVENTS_BEHIND + 50):
            log.add("note", str(number))
        behind = source.taken
        client.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=client, limit=1 << 26)
        seen: list[Message] = []
        async with asyncio.timeout(DEADLINE_S):
            while not (seen and isinstance(seen[-1], Snapshot) and seen[-1].uptime_s > behind):
                seen.append(decode(await reader.readline()))
        writer.close()
    dropped = [message for message in seen if isinstance(message, Dropped)]
    assert sum(message.snapshots for message in dropped) >= 5
    assert sum(message.events for message in dropped) == 50
    events = [int(message.text) for message in seen if isinstance(message, Event)]
    assert events == list(range(50, EVENTS_BEHIND + 50))
    shown = [message.uptime_s for message in seen if isinstance(message, Snapshot)]
    assert shown == sorted(shown)
    assert len(shown) + sum(message.snapshots for message in dropped) <= source.taken


async def test_what_waits_for_a_stopped_reader_is_bounded(path: Path) -> None:
    source, log = Source(padding=200), EventLog()
    async with publishing(path, source, log) as publisher:
        client = stopped(path)
        client.sendall(encode(Ask(interval_s=0.1)))
        await until(lambda: source.taken >= 10)
        for number in range(5000):
            log.add("note", "x" * 100 + str(number))
        (server_side,) = publisher._clients
        assert len(server_side._events) <= EVENTS_BEHIND
        one = len(encode(await source.take()))
        assert server_side._transport.get_write_buffer_size() <= 2 * one
        client.close()


async def test_more_clients_than_the_cap_are_refused_and_those_who_leave_make_room(
    path: Path,
) -> None:
    async with publishing(path, max_clients=2) as publisher:
        async with connect(path), connect(path):
            with pytest.raises(ServerUnreachable, match="2 clients watch"):
                await messages(path, 2)
        await until(lambda: publisher.n_clients == 0)
        await messages(path, 2)


async def test_a_snapshot_that_fails_is_reported_and_the_next_one_comes(path: Path) -> None:
    reported: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    source = Source()
    async with publishing(path, source), connect(path, interval_s=0.1) as link:
        stream = aiter(link)
        await anext(stream)
        source.failing = True
        async with asyncio.timeout(DEADLINE_S):
            while not reported:
                await anext(stream)
            assert isinstance(await anext(stream), Snapshot)
    assert [str(context["exception"]) for context in reported] == ["a defect"]


# The file --------------------------------------------------------------------------------


async def test_only_the_owner_may_connect_whatever_the_umask(path: Path) -> None:
    before = os.umask(0)
    try:
        async with publishing(path):
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
            assert os.listdir(path.parent) == [path.name]
    finally:
        os.umask(before)


async def test_the_file_is_gone_after_the_end_and_clients_are_told_by_the_end(path: Path) -> None:
    async with publishing(path):
        reader, writer = await asyncio.open_unix_connection(path)
        await reader.readline()
    assert not os.listdir(path.parent)
    async with asyncio.timeout(DEADLINE_S):
        await reader.read()
    writer.close()


async def test_a_file_left_by_a_killed_server_is_replaced(path: Path) -> None:
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.listen()
    dead.close()
    async with publishing(path):
        await messages(path, 2)


async def test_the_socket_of_a_server_that_lives_is_left_alone(path: Path) -> None:
    async with publishing(path):
        with pytest.raises(SocketTakenError, match="another server"):
            async with publishing(path):
                pass
        await messages(path, 2)


async def test_of_servers_that_start_at_once_one_has_the_socket(path: Path) -> None:
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    claims = await asyncio.gather(
        *(asyncio.to_thread(claim, path) for _ in range(2)), return_exceptions=True
    )
    won = [one for one in claims if isinstance(one, socket.socket)]
    lost = [one for one in claims if isinstance(one, SocketTakenError)]
    assert (len(won), len(lost)) == (1, 1)
    release(path, os.stat(path).st_ino)
    won[0].close()


def test_what_is_no_socket_is_never_removed(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(ConfigError, match="no socket"):
        claim(path)
    assert path.read_text() == "precious"


def test_the_socket_of_a_successor_is_not_removed(path: Path) -> None:
    first = claim(path)
    inode = path.stat().st_ino
    first.close()
    second = claim(path)
    release(path, inode)
    assert path.exists()
    release(path, path.stat().st_ino)
    second.close()


@pytest.mark.parametrize(
    ("name", "says"), [("x" * 120, "too long"), ("none/m.sock", "cannot make the monitor socket")]
)
def test_a_path_that_no_socket_can_have_is_a_clear_error(
    tmp_path: Path, name: str, says: str
) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        claim(tmp_path / name)
    assert caught.value.hint
    assert caught.value.param == "monitor.socket"
    assert not list(tmp_path.iterdir())


def test_the_socket_is_where_the_settings_say(tmp_path: Path) -> None:
    paths = find_paths({"KOLO_HOME": str(tmp_path)})
    assert socket_path(Settings(), paths) == tmp_path / "run" / "monitor.sock"
    named = Settings(monitor=MonitorSettings(socket="m.sock"))
    assert socket_path(named, paths) == tmp_path / "config" / "m.sock"
    placed = replace(named, file=tmp_path / "else" / "config.toml")
    assert socket_path(placed, paths) == tmp_path / "else" / "m.sock"
    absolute = Settings(monitor=MonitorSettings(socket="/run/k.sock"))
    assert socket_path(absolute, paths) == Path("/run/k.sock")
