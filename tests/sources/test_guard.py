"""Addresses that a request from elsewhere may not make the server fetch from."""

from __future__ import annotations

from contextlib import closing

import httpx2
import pytest
from origin import Origin

from kolo.errors import PrivateSource, SourceError
from kolo.models.sources.guard import is_public
from kolo.models.sources.web import Broken, Web


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1",
        "169.254.169.254", "100.64.0.1", "224.0.0.1", "255.255.255.255", "198.18.0.1",
        "::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:10.0.0.1",
        "64:ff9b::7f00:1", "2002:7f00:1::", "2001:db8::1",
    ],
)  # fmt: skip
def test_private_addresses_are_known_in_every_disguise(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


def test_what_was_checked_is_what_is_connected_to(origin: Origin) -> None:
    """A name that answers a public address first and this machine then gets nowhere."""
    answers = iter([["192.0.2.1", "203.0.113.1"], ["127.0.0.1"]])
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return next(answers)

    with closing(Web(allow_private=False, resolve=resolve)) as web:
        port = origin.host.rpartition(":")[2]
        for _ in range(2):
            with pytest.raises(PrivateSource), web.open(f"http://rebinding.example:{port}/"):
                pass
    assert asked == ["rebinding.example"] * 2
    assert origin.seen == []


def test_a_redirect_into_the_network_is_refused(origin: Origin) -> None:
    origin.routes["/a"] = lambda h: h.answer(302, Location="http://169.254.169.254/latest/meta")
    with closing(Web(allow_private=False, trusted={origin.url})) as web:
        with pytest.raises(PrivateSource, match=r"169\.254"), web.open(f"{origin.url}/a"):
            pass
        with pytest.raises(PrivateSource), web.open(origin.url.replace("127.0.0.1", "localhost")):
            pass


def test_a_checked_connection_asks_for_the_name(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kolo.models.sources.guard.is_public", lambda address: True)
    origin.routes["/a"] = lambda h: h.answer(200, b"here")
    port = origin.host.rpartition(":")[2]
    with (
        closing(Web(allow_private=False, resolve=lambda host, port: ["127.0.0.1"])) as web,
        web.open(f"http://models.example:{port}/a") as response,
    ):
        assert response.read() == b"here"
        assert response.url.host == "models.example"
    assert origin.seen[0].headers["Host"] == f"models.example:{port}"


def test_the_next_address_is_tried(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kolo.models.sources.guard.is_public", lambda address: True)
    origin.routes["/a"] = lambda h: h.answer(200, b"here")
    port = origin.host.rpartition(":")[2]
    addresses = ["127.0.0.2", "127.0.0.1"]  # the server listens on the second alone
    with (
        closing(Web(allow_private=False, resolve=lambda host, port: addresses)) as web,
        web.open(f"http://models.example:{port}/a") as response,
    ):
        assert response.status_code == 200


def test_a_proxy_is_used_but_not_to_get_around_the_check(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The origin stands for a proxy here: of it a proxy's form of request is asked."""
    monkeypatch.setenv("http_proxy", origin.url)
    origin.prefixes["http://models.example"] = lambda h: h.answer(200, b"by proxy")
    answers = {"models.example": ["1.1.1.1"], "inside.example": ["10.0.0.1"]}
    with closing(Web(allow_private=False, resolve=lambda host, port: answers[host])) as web:
        assert web.small("http://models.example/m", 100)[1] == b"by proxy"
        with pytest.raises(PrivateSource), web.open("http://inside.example/m"):
            pass
    assert [seen.path for seen in origin.seen] == ["http://models.example/m"]


def test_a_name_that_leads_nowhere_is_told() -> None:
    def resolve(host: str, port: int) -> list[str]:
        raise OSError("Name or service not known")

    with (
        closing(Web(allow_private=False, resolve=resolve)) as web,
        pytest.raises(Broken, match="cannot be resolved"),
        web.open("https://none.example/"),
    ):
        pass


@pytest.mark.parametrize("target", ["http://example.org/x", "ftp://example.org/x", "https:///x"])
def test_encryption_is_not_given_up_on_the_way(target: str) -> None:
    from kolo.models.sources.web import _check_redirect

    with pytest.raises(SourceError):
        _check_redirect(httpx2.URL("https://example.org/"), httpx2.URL(target), [])
