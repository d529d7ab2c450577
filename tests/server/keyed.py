"""A server with API keys, for tests."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from serving import House, Served, house, served

from kolo.audit import audit_file
from kolo.config import AccessSettings, Settings
from kolo.keys import Keyring, Scope, add_key, keys_file, new_key
from kolo.paths import Paths
from kolo.server.access.gate import Access

TOKEN = "a token of this test's server alone"


class Keys:
    """The folder of a server's keys, and their secrets by name."""

    def __init__(self, folder: Path) -> None:
        self.paths = Paths(*[folder] * 5)
        self.file = keys_file(self.paths)
        self.log = audit_file(self.paths)
        self.secrets: dict[str, str] = {}
        self.ids: dict[str, str] = {}

    def make(self, name: str, *scopes: Scope, **more: Any) -> str:
        key, secret = new_key(name, scopes or ["infer"], **more)
        add_key(self.file, key)
        self.secrets[name], self.ids[name] = secret, key.id
        return secret

    def access(self, settings: Settings, **more: Any) -> Access:
        return Access(settings, keys=Keyring(self.file), audit_log=self.log, token=TOKEN, **more)


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def settings(**access: Any) -> Settings:
    return Settings(access=AccessSettings(**access))


@asynccontextmanager
async def keyed(
    folder: Path, keys: Keys, given: Settings | None = None, **more: Any
) -> AsyncIterator[House]:
    given = given or Settings()
    access = more.pop("access", None) or keys.access(given)
    async with house(folder, settings=given, access=access, **more) as made:
        yield made


@asynccontextmanager
async def keyed_served(
    folder: Path, keys: Keys, given: Settings | None = None, **more: Any
) -> AsyncIterator[Served]:
    async with keyed(folder, keys, given, **more) as made, served(made) as at:
        yield at


async def healthy(at: Served, headers: Mapping[str, str] | None = None) -> None:
    """The server answers a new client, as it should after whatever a test did to it."""
    assert (await at.client.get("/health")).status_code == 200
    body = {"model": "fake", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1}
    reply = await at.client.post("/v1/chat/completions", json=body, headers=headers)
    assert reply.status_code == 200, reply.text


def in_a_moment() -> float:
    return time.time() + 1.0
