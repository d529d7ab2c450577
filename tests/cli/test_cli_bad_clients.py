"""What clients may send to a server that runs, while another's stream goes on: what the one gets,
that the other notices nothing, and that the server is healthy afterwards. The cases of each kind
are in ``tests/server/test_access_bad_input.py``."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import urlsplit

import psutil
import pytest
from cli_server import PATIENCE_S, Server
from running import Kolo
from witness import Stream, engines, healthy, two_engines, until

PATH = "/v1/chat/completions"
N_SILENT = 1000


@contextmanager
def troubled(env: dict[str, str], more: str = "") -> Iterator[Server]:
    """A server with a stream, which must still go on after the block, as must all else."""
    two_engines(env, more)
    with Server(env) as server, Stream(server) as witness:
        yield server
        witness.went_on()
        healthy(server)
        witness.went_on()


@contextmanager
def connected(server: Server, receive_bytes: int = 0) -> Iterator[socket.socket]:
    at = urlsplit(server.url)
    assert at.hostname
    assert at.port
    with socket.socket() as client:
        if receive_bytes:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        client.settimeout(PATIENCE_S)
        client.connect((at.hostname, at.port))
        yield client


def head(n_bytes: int, *headers: str) -> bytes:
    lines = [f"POST {PATH} HTTP/1.1", "Host: localhost", f"Content-Length: {n_bytes}", *headers]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()


def peers(server: Server) -> set[tuple[str, int]]:
    """Whom the server has a connection with."""
    return {tuple(one.raddr) for one in psutil.Process(server.pid).net_connections() if one.raddr}


def answer(client: socket.socket) -> bytes:
    """All until the server closes."""
    said = b""
    try:
        while data := client.recv(1 << 16):
            said += data
    except ConnectionResetError:  # it closed with something of ours unread
        pass
    return said


def test_a_body_of_50_mb_is_refused(env: dict[str, str]) -> None:
    with troubled(env) as server, connected(server) as client:
        client.sendall(head(50_000_000, "Connection: close") + b" " * 1000)
        assert answer(client).startswith(b"HTTP/1.1 413")


def test_ten_thousand_levels_of_nesting_are_refused(env: dict[str, str]) -> None:
    body = b'{"model":"guide","messages":' + b"[" * 10_000 + b"]" * 10_000 + b"}"
    with troubled(env) as server, connected(server) as client:
        client.sendall(head(len(body), "Connection: close") + body)
        assert answer(client).startswith(b"HTTP/1.1 400")


def test_a_byte_a_second_is_given_up(env: dict[str, str]) -> None:
    with troubled(env, '[server]\nbody_timeout = "3s"') as server, connected(server) as client:
        client.sendall(head(1000))
        client.settimeout(1.0)
        said, deadline_s = b"", time.monotonic() + PATIENCE_S
        while not said and time.monotonic() < deadline_s:
            client.sendall(b" ")
            try:
                said = client.recv(1 << 16)
            except TimeoutError:
                continue
        assert said.startswith(b"HTTP/1.1 408")


def test_one_that_stops_reading_is_given_up_and_its_slot_freed(env: dict[str, str]) -> None:
    """So much to say that it cannot all lie on the way."""
    body = {"model": "guide", "messages": [{"role": "user", "content": "one"}], "stream": True}
    much = {"logprobs": True, "top_logprobs": 20, "ignore_eos": True, "max_tokens": 1000, "n": 4}
    data = json.dumps({**body, **much}).encode()
    with (
        troubled(env, '[server]\nsend_timeout = "3s"') as server,
        connected(server, receive_bytes=4096) as client,
    ):
        client.sendall(head(len(data)) + data)
        assert client.recv(100).startswith(b"HTTP/1.1 200")
        here = client.getsockname()
        until(lambda: here not in peers(server))
        until(lambda: engines(server)["guide"]["in_flight"] == 0)


def test_a_thousand_that_say_nothing_cost_nobody_a_place(env: dict[str, str]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2 * N_SILENT:
        pytest.skip(f"this machine allows {hard} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * N_SILENT), hard))
    with troubled(env, '[server]\nheader_timeout = "0s"\nmax_connections = 64') as server:
        with ExitStack() as silent:
            clients = [silent.enter_context(connected(server)) for _ in range(N_SILENT)]
            healthy(server)
            assert clients[0].recv(1) == b"", "the most silent one gave way"
        healthy(server)


class Narrow(Server):
    """A server that may have no more than 400 descriptors, as in a narrow container."""

    def __init__(self, env: dict[str, str]) -> None:
        line = f"ulimit -n 400; exec {sys.executable} -m kolo serve --port 0"
        self.process = subprocess.Popen(
            ["bash", "-c", line],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
            cwd=env["HOME"],
        )
        self.said = ""
        self.url = ""


def test_more_at_once_than_there_are_descriptors_for_keep_nobody_out(env: dict[str, str]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2 * N_SILENT:
        pytest.skip(f"this machine allows {hard} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * N_SILENT), hard))
    two_engines(env, '[server]\nheader_timeout = "0s"')
    with Narrow(env) as server, Stream(server) as witness:
        at = urlsplit(server.url)
        os.kill(server.pid, signal.SIGSTOP)  # so that all are there at once
        with ExitStack() as crowd:
            for _ in range(N_SILENT - 100):
                client = crowd.enter_context(socket.socket())
                client.setblocking(False)
                with suppress(BlockingIOError):
                    client.connect((at.hostname, at.port))
            os.kill(server.pid, signal.SIGCONT)
            witness.went_on()
            healthy(server)
            witness.went_on()
        healthy(server)
        assert server.stop() == 0
    assert "Traceback" not in server.said


@pytest.mark.parametrize(
    "header", ["X-Request-Id: a\rSet-Cookie: b", "X-Request-Id: a\0b", "Transfer-Encoding: chunked"]
)
def test_what_would_inject_a_header_is_refused(env: dict[str, str], header: str) -> None:
    with troubled(env) as server, connected(server) as client:
        client.sendall(head(2, header) + b"{}")
        said = answer(client)
        assert said.startswith(b"HTTP/1.1 400"), said
        assert b"set-cookie" not in said.lower()


def test_a_key_that_is_revoked_mid_stream_ends_its_own_streams_alone(
    env: dict[str, str], kolo: Kolo
) -> None:
    two_engines(env)
    mine, theirs = (kolo("keys", "create", name).stdout.strip() for name in ("mine", "theirs"))
    with Server(env) as server, Stream(server, secret=mine) as witness:
        with Stream(server, "guide", secret=theirs) as stream:
            assert kolo("keys", "revoke", "theirs").returncode == 0
            assert stream.ended_with() == "invalid_api_key"
        witness.went_on()
        away = {"XDG_RUNTIME_DIR": env["HOME"]}  # as from another machine
        asking = ("complete", "a", "-n", "2", "--url", server.url)
        assert kolo(*asking, KOLO_API_KEY=theirs, **away).returncode == 6
        assert kolo(*asking, KOLO_API_KEY=mine, **away).returncode in (0, 8)
        witness.went_on()
