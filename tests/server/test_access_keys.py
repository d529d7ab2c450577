"""Who is let in, with which key and for what; what is written down of it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from keyed import TOKEN, Keys, bearer, keyed, keyed_served, settings
from serving import FAKE, House, Reply

from kolo.audit import entries, verify
from kolo.config import AccessSettings, ServerSettings, Settings
from kolo.keys import revoke_key
from kolo.server.access.gate import Access
from kolo.server.reload import Reloader

PUBLIC = ("/health", "/v1/health", "/status", "/health/live", "/health/ready", "/health/startup")
CHAT = "/v1/chat/completions"


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "state")


async def chat(house: House, **headers: str) -> Reply:
    body = {"model": FAKE, "messages": [{"role": "user", "content": "x"}], "max_tokens": 1}
    return await house.post(CHAT, body, **headers)


async def test_without_keys_everybody_of_this_machine_is_let_in(tmp_path: Path, keys: Keys) -> None:
    async with keyed(tmp_path, keys) as made:
        assert (await chat(made)).status == 200
        # Clients of OpenAI's always send a key, of which nobody here has heard.
        assert (await chat(made, **bearer("sk-anything"))).status == 200
        assert (await made.get("/engines")).status == 200


@pytest.mark.parametrize("path", ["/v1/models", "/engines", "/metrics", "/slots", "/logs"])
async def test_once_there_is_a_key_nobody_is_let_in_without(
    tmp_path: Path, keys: Keys, path: str
) -> None:
    keys.make("all", "infer", "read", "manage")
    async with keyed(tmp_path, keys) as made:
        refused = await made.get(path)
        assert (refused.status, refused.error["code"]) == (401, "invalid_api_key")
        assert refused.error["type"] == "authentication_error"
        assert refused.headers["WWW-Authenticate"] == "Bearer"
        assert (await made.get(path, **bearer(keys.secrets["all"]))).status not in (401, 403)


@pytest.mark.parametrize(
    "headers",
    [
        lambda secret: {"Authorization": f"Bearer {secret}"},
        lambda secret: {"Authorization": f"bearer  {secret} "},
        lambda secret: {"X-API-Key": secret},
        lambda secret: {"x-api-key": secret},
        lambda secret: {"Authorization": "Basic dXNlcjpwYXNz", "X-API-Key": secret},
    ],
)
async def test_a_key_is_taken_from_either_header(tmp_path: Path, keys: Keys, headers: Any) -> None:
    async with keyed(tmp_path, keys) as made:
        keys.make("a")
        made.app.service.access.keys = keys.access(Settings()).keys
        assert (await chat(made, **headers(keys.secrets["a"]))).status == 200
        assert (await chat(made, **headers(keys.secrets["a"] + "x"))).status == 401


async def test_health_needs_no_key_and_tells_no_names_without_one(
    tmp_path: Path, keys: Keys
) -> None:
    keys.make("a")
    async with keyed(tmp_path, keys) as made:
        for path in PUBLIC:
            reply = await made.get(path)
            assert reply.status == 200
            assert FAKE not in reply.body.decode()
        told = await made.get("/health", **bearer(keys.secrets["a"]))
        assert FAKE in [one["engine_id"] for one in told.json["engines"]]
        assert (await made.get("/docs")).status == (await made.get("/openapi.json")).status == 200


async def test_a_key_may_do_what_its_scopes_say_and_nothing_else(
    tmp_path: Path, keys: Keys
) -> None:
    for scope in ("infer", "read", "manage"):
        keys.make(scope, scope)
    asked: list[tuple[str, str, Any, set[str]]] = [
        ("POST", CHAT, {"model": FAKE, "messages": []}, {"infer"}),
        ("POST", "/tokenize", {"content": "x", "model": FAKE}, {"infer"}),
        ("GET", "/v1/models", None, {"infer", "read", "manage"}),
        ("GET", "/engines", None, {"read", "manage"}),
        ("GET", "/metrics", None, {"read", "manage"}),
        ("GET", "/v1/auth/config", None, {"read", "manage"}),
        ("PUT", "/v1/auth/config", {}, {"manage"}),
        ("POST", "/models/unload", {"model": FAKE}, {"manage"}),
        ("DELETE", "/engines/nobody", None, {"manage"}),
        ("DELETE", "/downloads", None, {"manage"}),
    ]
    async with keyed(tmp_path, keys) as made:
        for method, path, body, may in asked:
            for scope in ("infer", "read", "manage"):
                data = b"" if body is None else json.dumps(body).encode()
                reply = await made._call(
                    method, path, data=data, headers=bearer(keys.secrets[scope])
                )
                assert (reply.status == 403) == (scope not in may), (method, path, scope)
                if reply.status == 403:
                    assert reply.error["code"] == "forbidden"
                    assert reply.error["type"] == "permission_error"
                    assert sorted(may)[0] in reply.error["message"]


async def test_every_route_but_the_public_ones_needs_a_key(tmp_path: Path, keys: Keys) -> None:
    keys.make("a")
    async with keyed(tmp_path, keys) as made:
        for rule in made.app.url_map.iter_rules():
            path = rule.rule.replace("<path:", "").replace("<", "").replace(">", "")
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                reply = await made._call(method, path, data=b"{}", headers={})
                open_to_all = path in (*PUBLIC, "/docs", "/openapi.json")
                assert (reply.status == 401) != open_to_all, (method, path, reply.status)


async def test_revoking_the_last_key_does_not_open_the_server(tmp_path: Path, keys: Keys) -> None:
    keys.make("a")
    revoke_key(keys.file, "a")
    async with keyed(tmp_path, keys) as made:
        assert (await chat(made)).status == 401
        assert (await chat(made, **bearer(keys.secrets["a"]))).status == 401


async def test_the_operator_of_the_machine_needs_no_key(tmp_path: Path, keys: Keys) -> None:
    keys.make("a")
    async with keyed(tmp_path, keys) as made:
        assert (await made.get("/engines", **bearer(TOKEN))).status == 200
        assert (await made.get("/engines", **bearer(TOKEN + "x"))).status == 401


async def test_a_server_without_a_token_takes_no_empty_one(tmp_path: Path, keys: Keys) -> None:
    keys.make("a")
    access = Access(Settings(), keys=keys.access(Settings()).keys)
    async with keyed(tmp_path, keys, access=access) as made:
        for headers in ({}, {"Authorization": "Bearer "}, {"X-API-Key": ""}):
            assert (await made.get("/engines", **headers)).status == 401


@pytest.mark.parametrize(
    ("host", "require", "status"),
    [
        ("0.0.0.0", "auto", 401),
        ("0.0.0.0", "never", 401),  # not by a reload either
        ("127.0.0.1", "auto", 200),
        ("127.0.0.1", "always", 401),
    ],
)
async def test_where_others_can_reach_the_server_a_key_is_needed_from_the_start(
    tmp_path: Path, keys: Keys, host: str, require: Any, status: int
) -> None:
    given = Settings(server=ServerSettings(host=host), access=AccessSettings(require_key=require))
    async with keyed(tmp_path, keys, given) as made:
        assert (await chat(made)).status == status


async def test_settings_read_anew_do_not_open_a_server_that_others_reach(
    tmp_path: Path, keys: Keys
) -> None:
    wide = Settings(server=ServerSettings(host="0.0.0.0"))
    async with keyed(tmp_path, keys, wide) as made:
        made.app.service.follow(Settings())  # heeded after a restart: it listens as before
        assert (await chat(made)).status == 401
        keys.make("a", "manage")
        made.app.service.follow(settings(allow_unauthenticated=True, require_key="never"))
        assert (await chat(made)).status == 200


async def test_never_means_that_keys_that_exist_are_not_asked_for(
    tmp_path: Path, keys: Keys
) -> None:
    keys.make("a")
    async with keyed(tmp_path, keys, settings(require_key="never")) as made:
        assert (await chat(made)).status == 200


# The audit log -----------------------------------------------------------------------------


async def test_what_is_managed_is_written_down_with_who_what_and_how(
    tmp_path: Path, keys: Keys
) -> None:
    keys.make("ops", "manage", "read")
    keys.make("guest", "infer")
    ops, guest = bearer(keys.secrets["ops"]), bearer(keys.secrets["guest"])
    async with keyed(tmp_path, keys) as made:
        assert (await made.post("/models/load", {"model": FAKE}, **ops)).status == 200
        assert (await made.post("/models/unload", {"model": "nobody"}, **ops)).status == 404
        assert (await made.post("/models/unload", {"model": FAKE}, **guest)).status == 403
        assert (await made.post("/models/unload", {"model": FAKE})).status == 401
        assert (await made.get("/engines", **ops)).status == 200
        assert (await chat(made, **guest)).status == 200
    found = list(entries(keys.log))
    told = [(one.who.partition(" from")[0], one.action, one.subject, one.outcome) for one in found]
    me, other = f"key {keys.ids['ops']} (ops)", f"key {keys.ids['guest']} (guest)"
    assert told == [
        (me, "POST /models/load", FAKE, "ok"),
        (me, "POST /models/unload", "nobody", "404 NOT FOUND"),
        (other, "POST /models/unload", "", "403 FORBIDDEN"),
    ]
    assert verify(keys.log).lines == 3
    for secret in keys.secrets.values():
        assert secret not in keys.log.read_text()


async def test_what_was_begun_is_written_down_though_the_client_has_left(
    tmp_path: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()

    async def endless(*_: object, **__: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with keyed_served(tmp_path, keys) as at:
        await at.client.post("/models/load", json={"model": FAKE})
        monkeypatch.setattr(at.house.manager, "unload", endless)
        asked = asyncio.create_task(at.client.post("/models/unload", json={"model": FAKE}))
        async with asyncio.timeout(30):
            await begun.wait()
            asked.cancel()
            while len(found := list(entries(keys.log))) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert (found[1].action, found[1].subject) == ("POST /models/unload", FAKE)
    assert "left" in found[1].outcome


async def test_a_reload_asked_for_while_listing_is_written_down(tmp_path: Path, keys: Keys) -> None:
    async with keyed(tmp_path, keys) as made:
        service = made.app.service
        service.reloader = Reloader(service, Settings)
        assert (await made.get("/models?reload=1")).status == 200
        assert (await made.get("/models")).status == 200
    assert [one.action for one in entries(keys.log)] == ["GET /models"]


async def test_refusals_do_not_fill_the_log(tmp_path: Path, keys: Keys) -> None:
    keys.make("guest", "infer")
    async with keyed(tmp_path, keys) as made:
        for _ in range(20):
            reply = await made.post(
                "/models/unload", {"model": FAKE}, **bearer(keys.secrets["guest"])
            )
            assert reply.status == 403
    assert verify(keys.log).lines == 1


async def test_a_token_in_an_address_is_not_written_down(tmp_path: Path, keys: Keys) -> None:
    async with keyed(tmp_path, keys) as made:
        body = {"engine_id": "x", "model_path": "https://example.invalid/m.gguf?token=hush"}
        await made.post("/engines", body)
        (only,) = entries(keys.log)
        assert "hush" not in keys.log.read_text()
        assert only.subject == "x"


async def test_an_audit_log_that_cannot_be_written_stops_no_work(
    tmp_path: Path, keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    access = Access(Settings(), audit_log=tmp_path / "file" / "audit.jsonl")
    (tmp_path / "file").write_text("")
    async with keyed(tmp_path, keys, access=access) as made:
        assert (await made.post("/models/load", {"model": FAKE})).status == 200
    assert "missing in the audit log" in caplog.text
