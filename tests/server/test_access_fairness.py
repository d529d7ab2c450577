"""Two keys at one engine, over HTTP: one with thirty requests, the other with a single one."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from keyed import Keys, bearer, keyed_served
from serving import FAKE, Served, fake

PATIENCE_S = 90.0
CHAT = "/v1/chat/completions"
SCRIPT = {"row_ms": 2, "words": 10**9}


def body(text: str, max_tokens: int) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    return {
        "model": FAKE,
        "messages": messages,
        "max_tokens": max_tokens,
        "ignore_eos": True,
        "stream": True,
    }


async def tokens_of(at: Served, secret: str, text: str, max_tokens: int) -> int:
    """Read a stream to its end; how many tokens it says it had."""
    asked = {**body(text, max_tokens), "stream_options": {"include_usage": True}}
    async with at.client.stream(
        "POST", CHAT, json=asked, headers=bearer(secret), timeout=PATIENCE_S
    ) as reply:
        assert reply.status_code == 200
        last: Any = None
        async for line in reply.aiter_lines():
            if line.startswith("data: {"):
                last = json.loads(line.removeprefix("data: "))
        count: int = last["usage"]["completion_tokens"]
        return count


@pytest.mark.parametrize("parallel", [1, 4])
async def test_one_request_beside_thirty_of_another_key_waits_for_no_answer_of_it(
    tmp_path: Path, parallel: int
) -> None:
    """Those of the other have no end, so that it is answered only if one is paused for it."""
    keys = Keys(tmp_path / "state")
    many, single = keys.make("many"), keys.make("single")
    specs = [fake(FAKE, SCRIPT, parallel=parallel, ctx=1 << 24)]
    async with keyed_served(tmp_path, keys, specs=specs) as at:
        crowd = [asyncio.create_task(tokens_of(at, many, f"crowd {n}", 10**7)) for n in range(30)]
        async with at.house.manager.lease(FAKE) as engine, asyncio.timeout(PATIENCE_S):
            while engine.in_flight < 30 or (await engine.stats()).generated_tokens < 300:
                await engine.stats()
            assert await tokens_of(at, single, "one", 3) == 3
            assert not any(task.done() for task in crowd)
            stats = await engine.stats()
            assert stats.waiting + stats.running == 30
            assert stats.preemptions >= 1
        for task in crowd:
            task.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)


async def test_who_is_paused_for_another_key_loses_nothing(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "state")
    many, single = keys.make("many"), keys.make("single")
    specs = [fake(FAKE, SCRIPT, parallel=2, ctx=2048)]
    async with keyed_served(tmp_path, keys, specs=specs) as at:
        crowd = [asyncio.create_task(tokens_of(at, many, f"crowd {n}", 1000)) for n in range(4)]
        async with at.house.manager.lease(FAKE) as engine, asyncio.timeout(PATIENCE_S):
            while (await engine.stats()).generated_tokens < 50:
                await engine.stats()
            assert await tokens_of(at, single, "one", 20) == 20
            assert await asyncio.gather(*crowd) == [1000] * 4
