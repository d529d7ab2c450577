"""TLS: a source that cannot prove who it is, and one whose proof the operator supplied."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fetching import body_of, fetch, plan_of
from origin import Origin

from kolo.errors import SourceError, SourceUnreachable
from kolo.models.sources.web import Web

BODY = body_of(50_000)

SELF_SIGNED = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgnbJTCAJv/K3wwcDN
bO2Z1rZBSeFgoGPXVlW/+FIej6ShRANCAAQ2x1wyynneuB0ygHX9dW6KLTulH9/Q
gn874prX6BN2rGEvRPHiqtgOKKs017jri0A6Vo4z5naDzJGpOY8FOJIO
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBmzCCAUGgAwIBAgIUDmexKtqKbYL7ytdPz2CVFlFHcMEwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMTE0MjUyMVoYDzIxMjYxMDI4
MTQyNTIxWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAQ2x1wyynneuB0ygHX9dW6KLTulH9/Qgn874prX6BN2rGEvRPHiqtgO
KKs017jri0A6Vo4z5naDzJGpOY8FOJIOo28wbTAdBgNVHQ4EFgQUTUDHP70q2d84
Qwb82l7O0e3LbFgwHwYDVR0jBBgwFoAUTUDHP70q2d84Qwb82l7O0e3LbFgwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDSAAwRQIgFS5tRIfjsnIKpgSuOzCSQzqsnbYRd5mdIo3RBh7kvYwCIQDa
X6M0gsnWaRg5I3guxohAIi0ZxMxcoTfZHCGGgxDWAA==
-----END CERTIFICATE-----
"""
"""Key and certificate of localhost, made for this test alone; for a hundred years."""


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    file = tmp_path / "self-signed.pem"
    file.write_text(SELF_SIGNED)
    return file


@pytest.fixture
def secure(pem: Path) -> Iterator[Origin]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with Origin(context).running() as made:
        made.put("/m.gguf", BODY)
        yield made


async def test_a_certificate_of_nobody_is_refused_at_once(secure: Origin) -> None:
    with pytest.raises(SourceUnreachable, match="does not prove who it is") as caught:
        await plan_of(f"{secure.url}/m.gguf")
    assert "SSL_CERT_FILE" in caught.value.hint
    assert secure.seen == []


async def test_a_certificate_that_was_named_is_taken(
    secure: Origin, pem: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    assert await fetch(f"{secure.url}/m.gguf", tmp_path / "part") == [BODY]


async def test_a_way_back_to_no_encryption_is_not_taken(
    secure: Origin, origin: Origin, pem: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    secure.routes["/m.gguf"] = lambda h: h.answer(302, Location=f"{origin.url}/m.gguf")
    with pytest.raises(SourceError, match="without encryption"):
        await plan_of(f"{secure.url}/m.gguf")
    assert origin.seen == []


def test_a_checked_address_must_prove_the_name_it_was_found_by(
    secure: Origin, pem: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    monkeypatch.setattr("kolo.models.sources.guard.is_public", lambda address: True)
    port = secure.host.rpartition(":")[2]
    with closing(Web(allow_private=False, resolve=lambda host, port: ["127.0.0.1"])) as web:
        with web.open(f"https://localhost:{port}/m.gguf") as response:
            assert response.read() == BODY
        with (
            pytest.raises(SourceUnreachable, match="does not prove"),
            web.open(f"https://models.example:{port}/m.gguf"),
        ):
            pass
