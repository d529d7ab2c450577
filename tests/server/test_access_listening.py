"""What a server listens on: TLS with HTTP/2, and a Unix socket."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
import trustme
from keyed import Keys, bearer, keyed
from serving import FAKE, House, house

from kolo.client.http import Http
from kolo.config import ServerSettings
from kolo.errors import AuthFailed, ConfigError
from kolo.server.listening import Listening
from kolo.server.options import Options
from kolo.server.run import Stop, serve

PATIENCE_S = 60.0


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def write(authority: trustme.CA, folder: Path, *names: str) -> tuple[str, str]:
    issued = authority.issue_cert(*(names or ("localhost", "127.0.0.1")))
    chain, key = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    return str(chain), str(key)


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@asynccontextmanager
async def listening(made: House) -> AsyncIterator[tuple[str, int]]:
    stop = Stop()
    bound: asyncio.Future[tuple[str, int]] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(
        serve(made.app, stop=stop, on_listening=lambda *at: bound.set_result(at))
    )
    await asyncio.wait({serving, bound}, return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        serving.result()
    try:
        yield bound.result()
    finally:
        stop.ask()
        stop.ask()
        await serving


CHAT = {"model": FAKE, "messages": [{"role": "user", "content": "x"}], "max_tokens": 3}


@pytest.mark.parametrize("http2", [True, False])
async def test_tls_speaks_both_versions_of_http(
    tmp_path: Path, authority: trustme.CA, http2: bool
) -> None:
    cert, key = write(authority, tmp_path)
    async with (
        house(tmp_path, tls_cert=cert, tls_key=key) as made,
        listening(made) as (host, port),
        httpx2.AsyncClient(
            base_url=f"https://{host}:{port}", verify=trusting(authority), http2=http2, timeout=60
        ) as client,
    ):
        reply = await client.get("/health")
        assert reply.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
        answers = await asyncio.gather(
            *(client.post("/v1/chat/completions", json=CHAT) for _ in range(5))
        )
        assert [one.status_code for one in answers] == [200] * 5
        async with client.stream(
            "POST", "/v1/chat/completions", json={**CHAT, "stream": True}
        ) as stream:
            text = await stream.aread()
        assert text.endswith(b"data: [DONE]\n\n")


async def test_plain_http_to_the_port_of_tls_is_no_harm(
    tmp_path: Path, authority: trustme.CA
) -> None:
    cert, key = write(authority, tmp_path)
    async with (
        house(tmp_path, tls_cert=cert, tls_key=key) as made,
        listening(made) as (host, port),
    ):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(PATIENCE_S):
            assert b"200" not in await reader.read()
        writer.close()
        async with httpx2.AsyncClient(verify=trusting(authority), timeout=60) as client:
            assert (await client.get(f"https://{host}:{port}/health")).status_code == 200


async def test_a_renewed_certificate_is_taken_and_a_broken_one_is_not(
    tmp_path: Path, authority: trustme.CA, caplog: pytest.LogCaptureFixture
) -> None:
    def serial(port: int) -> str:
        context = trusting(authority)
        with (
            socket.create_connection(("127.0.0.1", port), timeout=60) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as made,
        ):
            found = made.getpeercert()
            assert found is not None
            return str(found["serialNumber"])

    cert, key = write(authority, tmp_path)
    listening = Listening(Options(port=0, tls_cert=cert, tls_key=key))
    context = listening.config().create_ssl_context()
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    try:
        first = await asyncio.to_thread(serial, port)
        listening.look()
        assert await asyncio.to_thread(serial, port) == first
        write(authority, tmp_path)
        listening.look()
        second = await asyncio.to_thread(serial, port)
        assert second != first
        await asyncio.to_thread(Path(key).write_text, "no key")
        listening.look()
        assert await asyncio.to_thread(serial, port) == second
        assert "was not renewed" in caplog.text
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("wrong", ["missing", "other key", "garbage"])
def test_a_certificate_that_cannot_be_used_is_said_at_the_start(
    tmp_path: Path, authority: trustme.CA, wrong: str
) -> None:
    cert, key = write(authority, tmp_path)
    if wrong == "missing":
        Path(key).unlink()
    elif wrong == "garbage":
        Path(cert).write_text("x")
    else:
        other = tmp_path / "other"
        other.mkdir()
        _, key = write(authority, other)
    with pytest.raises(ConfigError, match=r"cert|key"):
        Listening(Options(port=0, tls_cert=cert, tls_key=key))


def test_a_certificate_without_its_key_is_refused_in_the_settings() -> None:
    with pytest.raises(ConfigError, match="go together"):
        ServerSettings(tls_cert="x")


# The Unix socket ---------------------------------------------------------------------------


async def test_a_socket_has_its_mode_and_goes_with_the_server(tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    async with house(tmp_path, socket=None) as made:
        made.app.service.options = Options(port=0, socket=str(path), socket_mode=0o600)
        async with listening(made) as (host, _):
            assert host == "127.0.0.1"
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            async with Http(f"unix:{path}") as http:
                assert (await http.get("/health"))["status"] == "ok"
                reply = await http.post("/v1/chat/completions", CHAT)
                assert reply["usage"]["completion_tokens"] == 3
        assert not path.exists()


async def test_a_server_can_listen_on_its_socket_alone(tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    async with house(tmp_path) as made:
        made.app.service.options = Options(host="none", socket=str(path))
        async with listening(made) as (host, port), Http(f"unix:{path}") as http:
            assert (host, port) == (f"unix:{path}", 0)
            assert (await http.get("/health"))["status"] == "ok"


async def test_the_owner_of_a_server_needs_no_key_at_its_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOLO_HOME", str(tmp_path / "home"))
    keys = Keys(tmp_path / "state")
    keys.make("a", "read")
    path = tmp_path / "http.sock"
    async with keyed(tmp_path, keys) as made:
        made.app.service.options = Options(port=0, socket=str(path))
        async with listening(made) as (host, port):
            async with Http(f"unix:{path}") as http:
                assert await http.get("/engines")
            async with Http(f"http://{host}:{port}") as http:
                with pytest.raises(AuthFailed):
                    await http.get("/engines")
            # Another user who may open it is asked for one.
            uid = os.getuid()
            monkeypatch.setattr("kolo.server.connection._peer_uid", lambda sock: uid + 4711)
            async with Http(f"unix:{path}") as http:
                with pytest.raises(AuthFailed):
                    await http.get("/engines")
            monkeypatch.setenv("KOLO_API_KEY", keys.secrets["a"])
            async with Http(f"unix:{path}") as http:
                assert await http.get("/engines")


async def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    async with house(tmp_path) as made:
        made.app.service.options = Options(host="none", socket=str(path))
        async with listening(made), Http(f"unix:{path}") as http:
            assert (await http.get("/health"))["status"] == "ok"


@pytest.mark.parametrize("what", ["file", "listened on", "folder missing", "too long"])
def test_what_is_there_and_no_stale_socket_is_left_alone(tmp_path: Path, what: str) -> None:
    path = tmp_path / "http.sock"
    with socket.socket(socket.AF_UNIX) as other:
        if what == "file":
            path.write_text("mine")
        elif what == "listened on":
            other.bind(str(path))
            other.listen()
        elif what == "too long":
            path = tmp_path / ("x" * 120)
        else:
            path = tmp_path / "nowhere" / "http.sock"
        with pytest.raises(ConfigError, match="cannot listen on the socket"):
            Listening(Options(port=0, socket=str(path)))
    if what == "file":
        assert path.read_text() == "mine"


async def test_requests_over_http2_are_keyed_like_all_others(
    tmp_path: Path, authority: trustme.CA
) -> None:
    keys = Keys(tmp_path / "state")
    keys.make("a")
    cert, key = write(authority, tmp_path)
    async with (
        keyed(tmp_path, keys, tls_cert=cert, tls_key=key) as made,
        listening(made) as (host, port),
        httpx2.AsyncClient(
            base_url=f"https://{host}:{port}",
            verify=trusting(authority),
            http2=True,
            timeout=60,
        ) as client,
    ):
        assert (await client.post("/v1/chat/completions", json=CHAT)).status_code == 401
        mine = bearer(keys.secrets["a"])
        reply = await client.post("/v1/chat/completions", json=CHAT, headers=mine)
        assert (reply.status_code, reply.http_version) == (200, "HTTP/2")
