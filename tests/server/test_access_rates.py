"""Limits of how much one may ask, and pages of other sites, and names that are not ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from keyed import Keys, bearer, keyed, settings
from serving import FAKE, House, Reply

from kolo.config import AccessSettings, CorsSettings, ServerSettings, Settings
from kolo.errors import ConfigError
from kolo.manager.engine import Engine
from kolo.server.access.limits import Limits
from kolo.server.access.principal import by_address

PAGE = "https://chat.example.org"


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "state")


async def chat(house: House, **headers: str) -> Reply:
    body = {"model": FAKE, "messages": [{"role": "user", "content": "x"}], "max_tokens": 4}
    return await house.post("/v1/chat/completions", body, **headers)


# Rates -------------------------------------------------------------------------------------


async def test_past_the_rate_a_client_is_told_when_to_come_again(
    tmp_path: Path, keys: Keys
) -> None:
    async with keyed(tmp_path, keys, settings(requests_per_minute=2)) as made:
        for left in ("1", "0"):
            reply = await chat(made)
            assert reply.status == 200
            assert reply.headers["X-Rate-Limit-Limit"] == "2"
            assert reply.headers["X-Rate-Limit-Remaining"] == left
        refused = await chat(made)
        assert (refused.status, refused.error["code"]) == (429, "rate_limit_exceeded")
        assert refused.error["type"] == "rate_limit_exceeded"
        assert 1 <= int(refused.headers["Retry-After"]) <= 30
        assert refused.headers["X-Rate-Limit-Remaining"] == "0"
        assert 30 < int(refused.headers["X-Rate-Limit-Reset"]) <= 60
        # Probes are no requests of anybody.
        assert (await made.get("/health")).status == 200
        assert "X-Rate-Limit-Limit" not in (await made.get("/health")).headers


async def test_each_key_has_a_rate_of_its_own_and_the_operator_has_none(
    tmp_path: Path, keys: Keys
) -> None:
    keys.make("few", requests_per_minute=1)
    keys.make("all", requests_per_minute=0)
    keys.make("usual")
    few, usual = bearer(keys.secrets["few"]), bearer(keys.secrets["usual"])
    async with keyed(tmp_path, keys, settings(requests_per_minute=2)) as made:
        assert [(await chat(made, **few)).status for _ in range(2)] == [200, 429]
        assert [(await chat(made, **usual)).status for _ in range(3)] == [200, 200, 429]
        every = [(await chat(made, **bearer(keys.secrets["all"]))).status for _ in range(5)]
        assert every == [200] * 5


async def test_tokens_are_counted_as_the_answer_counts_them(tmp_path: Path, keys: Keys) -> None:
    async with keyed(tmp_path, keys, settings(tokens_per_minute=1000)) as made:
        reply = await chat(made)
        used = reply.json["usage"]["total_tokens"]
        left = (await made.get("/v1/models")).headers["X-Rate-Limit-Remaining-Tokens"]
        assert 1000 - used <= int(left) <= 1000 - used + 60


async def test_a_spent_allowance_of_tokens_turns_the_next_request_away(
    tmp_path: Path, keys: Keys
) -> None:
    async with keyed(tmp_path, keys, settings(tokens_per_minute=5)) as made:
        assert (await chat(made)).status == 200
        refused = await chat(made)
        assert (refused.status, refused.error["code"]) == (429, "rate_limit_exceeded")
        assert "5 tokens in a minute" in refused.error["message"]


async def test_guessing_keys_is_bounded_too(tmp_path: Path, keys: Keys) -> None:
    keys.make("a")
    async with keyed(tmp_path, keys, settings(requests_per_minute=2)) as made:
        statuses = [(await chat(made, **bearer("guess"))).status for _ in range(3)]
        assert statuses == [401, 401, 429]
        assert (await chat(made, **bearer(keys.secrets["a"]))).status == 200


def test_of_ipv6_a_whole_network_is_one_client() -> None:
    limits = Limits()

    def name(host: str) -> str:
        return by_address(host, limits, None).name  # type: ignore[arg-type]

    assert name("2001:db8::1") == name("2001:db8::ffff:2") == "2001:db8::/64"
    assert name("2001:db8:0:1::1") != name("2001:db8::1")
    assert name("::ffff:10.0.0.1") == name("10.0.0.1") == "10.0.0.1"
    assert name("::1") == "::1"
    assert name("") == "local"


# Kolosal's routes --------------------------------------------------------------------------


async def test_kolosal_reads_what_is_in_force(tmp_path: Path, keys: Keys) -> None:
    keys.make("a", "read")
    given = settings(requests_per_minute=7, cors=CorsSettings(origins=[PAGE]))
    async with keyed(tmp_path, keys, given) as made:
        told = (await made.get("/v1/auth/config", **bearer(keys.secrets["a"]))).json
        limiter = told["rate_limiter"]
        assert (limiter["enabled"], limiter["max_requests"]) == (True, 7)
        assert limiter["window_size"] == limiter["window_seconds"] == 60
        assert (told["cors"]["enabled"], told["cors"]["allowed_origins"]) == (True, [PAGE])
        assert told["api_key"] == {
            "enabled": True,
            "required": True,
            "header_name": "Authorization",
            "keys_count": 1,
        }


async def put(house: House, body: Any) -> Reply:
    return await house._call("PUT", "/v1/auth/config", data=_json(body), headers={})


def _json(body: Any) -> bytes:
    import json

    return json.dumps(body).encode()


async def test_kolosal_changes_the_rate_and_the_pages(tmp_path: Path, keys: Keys) -> None:
    async with keyed(tmp_path, keys) as made:
        changed = await put(
            made,
            {
                "rate_limiter": {"enabled": True, "max_requests": 3, "window_size": 10},
                "cors": {"allowed_origins": [PAGE]},
            },
        )
        assert (changed.status, changed.json["status"]) == (200, "success")
        reply = await made.get("/v1/models", Origin=PAGE)
        assert reply.headers["X-Rate-Limit-Limit"] == "3"
        assert reply.headers["Access-Control-Allow-Origin"] == PAGE
        assert (await put(made, {"rate_limiter": {"enabled": False}})).status == 200
        assert [(await chat(made)).status for _ in range(5)] == [200] * 5


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"rate_limiter": {"max_request": 1}}, "rate_limiter.max_request"),
        ({"rate_limiter": {"max_requests": -1}}, "rate_limiter.max_requests"),
        ({"rate_limiter": {"enabled": True}}, "rate_limiter.max_requests"),
        (
            {"rate_limiter": {"window_size": 5, "window_seconds": 6}},
            "rate_limiter.window_seconds",
        ),
        ({"api_key": {"api_keys": ["secret"]}}, "api_key.api_keys"),
        ({"api_key": {"header_name": "X-Mine"}}, "api_key.header_name"),
        ({"cors": {"allowed_origins": ["*"], "allow_credentials": True}}, "cors"),
        ({"cors": {"allowed_origins": ["https://a\r\nX: y"]}}, "cors"),
        ({"cors": {"enabled": True}}, "cors.allowed_origins"),
    ],
)
async def test_what_cannot_be_changed_is_named_and_nothing_else_is(
    tmp_path: Path, keys: Keys, body: Any, param: str
) -> None:
    async with keyed(tmp_path, keys) as made:
        before = (await made.get("/v1/auth/config")).json
        refused = await put(made, {"rate_limiter": {"max_requests": 9}, **body})
        assert (refused.status, refused.error["param"]) == (400, param)
        assert (await made.get("/v1/auth/config")).json == before


async def test_kolosal_can_require_a_key_and_let_go_of_that_again(
    tmp_path: Path, keys: Keys
) -> None:
    async with keyed(tmp_path, keys) as made:
        assert (await put(made, {"api_key": {"required": True}})).status == 200
        assert (await chat(made)).status == 401
        from keyed import TOKEN

        body = _json({"api_key": {"required": False}})
        freed = await made._call("PUT", "/v1/auth/config", data=body, headers=bearer(TOKEN))
        assert freed.status == 200
        assert (await chat(made)).status == 200


async def test_keys_that_exist_cannot_be_waived_by_request(tmp_path: Path, keys: Keys) -> None:
    keys.make("ops", "manage")
    async with keyed(tmp_path, keys) as made:
        body = _json({"api_key": {"required": False}})
        refused = await made._call(
            "PUT", "/v1/auth/config", data=body, headers=bearer(keys.secrets["ops"])
        )
        assert (refused.status, refused.error["param"]) == (400, "api_key.required")
        assert (await chat(made)).status == 401


async def test_kolosal_counts_and_clears(tmp_path: Path, keys: Keys) -> None:
    keys.make("a", "infer", "manage", requests_per_minute=4)
    mine = bearer(keys.secrets["a"])
    async with keyed(tmp_path, keys) as made:
        for _ in range(2):
            await chat(made, **mine)
        stats = (await made.get("/v1/auth/stats", **mine)).json["rate_limit_stats"]
        assert stats["clients"] == {keys.ids["a"]: {"request_count": 3}}
        assert (stats["total_clients"], stats["total_requests"]) == (1, 3)
        body = {"action": "clear_rate_limit", "client_ip": keys.ids["a"]}
        assert (await made.post("/v1/auth/clear", body, **mine)).json["message"] == "Cleared."
        assert [(await chat(made, **mine)).status for _ in range(5)] == [200] * 4 + [429]
        refused = await made.post("/v1/auth/clear", {"action": "clear_rate_limit"}, **mine)
        assert refused.status == 429


# Pages of other sites ----------------------------------------------------------------------


async def test_no_page_of_another_site_is_let_in_by_default(tmp_path: Path, keys: Keys) -> None:
    async with keyed(tmp_path, keys) as made:
        reply = await made.get("/v1/models", Origin=PAGE)
        assert "Access-Control-Allow-Origin" not in reply.headers
        asked = await made._call(
            "OPTIONS",
            "/v1/chat/completions",
            headers={"Origin": PAGE, "Access-Control-Request-Method": "POST"},
        )
        assert (asked.status, asked.error["code"]) == (403, "origin_not_allowed")
        assert (await made.post("/models/unload", Origin=PAGE, raw=b"")).status == 400


async def test_a_page_that_is_named_may_ask_and_read(tmp_path: Path, keys: Keys) -> None:
    keys.make("a")
    given = settings(cors=CorsSettings(origins=[PAGE], credentials=True))
    async with keyed(tmp_path, keys, given) as made:
        asked = await made._call(
            "OPTIONS",
            "/v1/chat/completions",
            headers={"Origin": PAGE, "Access-Control-Request-Method": "POST"},
        )
        assert (asked.status, asked.body) == (204, b"")  # and without a key: browsers send none
        assert asked.headers["Access-Control-Allow-Origin"] == PAGE
        assert "POST" in asked.headers["Access-Control-Allow-Methods"]
        assert "Authorization" in asked.headers["Access-Control-Allow-Headers"]
        assert asked.headers["Access-Control-Max-Age"] == "86400"
        assert asked.headers["Access-Control-Allow-Credentials"] == "true"
        headers = {"Origin": PAGE, "Content-Type": "application/json"}
        reply = await chat(made, **headers, **bearer(keys.secrets["a"]))
        assert reply.status == 200
        assert reply.headers["Access-Control-Allow-Origin"] == PAGE
        assert "X-Request-Id" in reply.headers["Access-Control-Expose-Headers"]
        # What went wrong can be read by the page too.
        refused = await chat(made, **headers)
        assert (refused.status, refused.headers["Access-Control-Allow-Origin"]) == (401, PAGE)
        other = await made.get("/v1/models", Origin="https://evil.example")
        assert "Access-Control-Allow-Origin" not in other.headers
        assert other.headers["Vary"] == "Origin"


def test_any_page_with_credentials_is_refused_in_the_settings() -> None:
    with pytest.raises(ConfigError, match="every site"):
        CorsSettings(origins=["*"], credentials=True)


# Names -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:8080", 200),
        ("LOCALHOST.:8080", 200),
        ("kolo.localhost:1", 200),
        ("127.0.0.1:8080", 200),
        ("[::1]:8080", 200),
        ("10.1.2.3", 200),
        ("llm.example.org", 200),
        ("rebound.example.com", 403),
        ("rebound.example.com:8080", 403),
        ("localhost.example.com", 403),
        ("127.0.0.1.example.com", 403),
    ],
)
async def test_a_page_that_leads_its_own_name_here_gets_nothing(
    tmp_path: Path, keys: Keys, host: str, status: int
) -> None:
    given = settings(allowed_hosts=["llm.example.org"])
    async with keyed(tmp_path, keys, given) as made:
        reply = await made.get("/health", Host=host)
        assert reply.status == status
        if status == 403:
            assert reply.error["code"] == "host_not_allowed"


async def test_beyond_this_machine_only_a_list_of_names_is_heeded(
    tmp_path: Path, keys: Keys
) -> None:
    wide = ServerSettings(host="0.0.0.0")
    async with keyed(tmp_path, keys, Settings(server=wide)) as made:
        assert (await made.get("/health", Host="box.lan")).status == 200
    named = Settings(server=wide, access=AccessSettings(allowed_hosts=["box.lan"]))
    async with keyed(tmp_path, keys, named) as made:
        assert (await made.get("/health", Host="box.lan")).status == 200
        assert (await made.get("/health", Host="other.lan")).status == 403


# The queue of an engine --------------------------------------------------------------------


async def test_a_full_queue_of_one_key_leaves_room_for_another(tmp_path: Path, keys: Keys) -> None:
    """The engine refuses the key that fills it, and takes a few of anybody else."""
    from serving import ENDLESS, fake

    from kolo.errors import Busy
    from kolo.manager.caller import account
    from kolo.types import Generate, Prompt

    class Named:
        def __init__(self, name: str) -> None:
            self.name = name

        def charge(self, n_tokens: int) -> None:
            return

    op = Generate(input=Prompt(text="x"))

    def ask(engine: Engine, name: str) -> Any:
        account.set(Named(name))
        return engine.submit(op)

    spec = fake(FAKE, ENDLESS, parallel=2)
    async with (
        keyed(tmp_path, keys, specs=[spec], limits={"max_queue": 3}) as made,
        made.manager.lease(FAKE) as engine,
    ):
        theirs = [ask(engine, "a") for _ in range(5)]
        with pytest.raises(Busy):
            ask(engine, "a")
        others = [ask(engine, "b") for _ in range(2)]
        with pytest.raises(Busy):
            ask(engine, "b")
        one_more = ask(engine, "c")
        with pytest.raises(Busy):
            ask(engine, "d")  # there is an end to it
        for stream in (*theirs, *others, one_more):
            await stream.aclose()
