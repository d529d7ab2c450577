"""Settings read anew, on fake workers: what is heeded at once, who may ask, what is said."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from keyed import Keys, bearer, keyed
from msgspec.structs import replace
from serving import FAKE, House, house

from kolo.config import ManagerSettings, ServerSettings, Settings
from kolo.errors import ConfigError
from kolo.server.reload import Reloader, ReloadRefused
from kolo.units import Bytes, Seconds

OTHER = Settings(
    manager=ManagerSettings(max_queue=3, idle_unload_s=Seconds(5)),
    server=ServerSettings(max_body_bytes=Bytes(100), port=9),
)


def reloading(home: House, *readings: Settings | Exception) -> Reloader:
    """A reloader that finds one after the other."""
    left = iter(readings)

    def read() -> Settings:
        found = next(left)
        if isinstance(found, Exception):
            raise found
        return found

    reloader = home.app.service.reloader = Reloader(home.app.service, read)
    return reloader


async def test_what_can_be_is_heeded_at_once(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        assert (await home.complete(max_tokens=1)).status == 200
        (engine,) = home.manager.loaded()
        reloading(home, OTHER)
        told = (await home.post("/models?reload=1", raw=b"")).json
        assert told["settings"] == ["manager.idle_unload", "manager.max_queue", "server.max_body"]
        assert told["needs_restart"] == ["server.port"]
        assert home.manager.loaded() == (engine,)
        assert engine.max_queue == 3
        assert home.manager.list()[0].ttl_s == 5
        assert (await home.complete("x" * 200)).status == 413
        assert home.app.service.options.port == 0  # what is listened on stays so


async def test_a_mistake_changes_nothing_and_is_told_everywhere(tmp_path: Path) -> None:
    wrong = ConfigError("config.toml:3: no such setting: x", hint="Did you mean y?", param="x")
    async with house(tmp_path) as home:
        before = home.app.service.settings
        reloading(home, wrong)
        reply = await home.post("/v1/models?reload=1", raw=b"")
        assert (reply.status, reply.error["code"]) == (422, "invalid_config")
        assert "config.toml:3" in reply.error["message"]
        assert home.app.service.settings is before
        event = home.app.service.monitor.log.recent()[-1]
        assert (event.kind, event.level) == ("config", "error")
        assert "config.toml:3" in event.text


async def test_whoever_waits_for_it_is_told_when_a_reload_is_over(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        reloader = reloading(home, OTHER, ConfigError("wrong"), OSError("not foreseen"))
        told: list[str] = []
        reloader.began = lambda: told.append("began")
        reloader.ended = told.append
        await reloader.reload()
        with pytest.raises(ReloadRefused):
            await reloader.reload()
        with pytest.raises(OSError, match="not foreseen"):
            await reloader.reload()
        assert told[::2] == ["began"] * 3
        assert told[1].startswith("settings read anew")
        assert told[3] == "settings not changed: wrong"


async def test_whoever_asked_and_left_does_not_leave_half_a_reload(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        reloader = reloading(home, OTHER)
        over = asyncio.Event()
        reloader.ended = lambda text: over.set()
        asking = asyncio.create_task(reloader.reload())
        await asyncio.sleep(0)
        asking.cancel()
        async with asyncio.timeout(30):
            await over.wait()
        assert home.app.service.settings is OTHER


async def test_two_at_once_take_turns(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        later = replace(OTHER, manager=ManagerSettings(max_queue=4))
        reloader = reloading(home, OTHER, later)
        first, second = await asyncio.gather(reloader.reload(), reloader.reload())
        assert "manager.max_queue" in first.settings
        assert second.settings == ["manager.idle_unload", "manager.max_queue"]
        assert home.app.service.settings is later


async def test_a_reader_of_the_feed_hears_of_it(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        with home.app.service.monitor.feed.listen() as listener:
            reloading(home, OTHER)
            await home.get("/models?reload=1")
            event = await listener.next()
            assert event is not None
            assert (event.engine, event.kind) == ("*", "reloaded")


async def test_only_who_may_manage_has_it_done(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "state")
    keys.make("reader", "infer", "read")
    keys.make("boss", "manage")
    async with keyed(tmp_path, keys) as home:
        reloading(home, OTHER)
        reader, boss = (bearer(keys.secrets[name]) for name in ("reader", "boss"))
        assert (await home.get("/models", **reader)).status == 200
        for method in (home.get, home.post):
            reply = await method("/models?reload=1", **reader)
            assert reply.status == 403
        assert (await home.post("/models?reload=1", raw=b"", **boss)).status == 200


@pytest.mark.parametrize(
    "page", [{"Origin": "https://a.example"}, {"Sec-Fetch-Site": "cross-site"}]
)
async def test_no_page_of_another_site_has_it_done(tmp_path: Path, page: dict[str, str]) -> None:
    async with house(tmp_path) as home:
        reloading(home)
        for method in (home.get, home.post):
            reply = await method("/models?reload=1", **page)
            assert (reply.status, "may not do this" in reply.error["message"]) == (400, True)
        assert (await home.get("/models", **page)).status == 200


async def test_a_server_without_a_file_says_so(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        reply = await home.post("/models?reload=1", raw=b"")
        assert (reply.status, reply.error["code"]) == (400, "unsupported")
        assert (await home.get("/models")).json["models"][0]["id"] == FAKE
