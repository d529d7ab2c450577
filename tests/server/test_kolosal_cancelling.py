"""POST /engines/{id}/requests/{n}/cancel: an operator ends what a client began."""

from __future__ import annotations

import asyncio
from pathlib import Path

from serving import ENDLESS, FAKE, House, events, fake, house, served


async def under_way(made: House) -> int:
    """The number of the one request, once it has written something."""
    async with asyncio.timeout(30):
        while True:
            for engine in made.manager.loaded():
                for request in engine.requests():
                    if request.tokens > 3:
                        return request.id
            await asyncio.sleep(0.01)


async def test_a_cancelled_stream_ends_well_with_what_was_written(tmp_path: Path) -> None:
    async with house(tmp_path, specs=[fake(FAKE, ENDLESS)]) as made, served(made) as at:
        body = {"model": FAKE, "messages": [{"role": "user", "content": "go"}], "stream": True}
        asking = asyncio.create_task(at.client.post("/v1/chat/completions", json=body))
        number = await under_way(made)
        told = await at.client.post(f"/engines/{FAKE}/requests/{number}/cancel")
        assert told.status_code == 200
        assert told.json() == {
            "engine_id": FAKE,
            "request_id": number,
            "status": "cancelled",
        }
        reply = await asking
        chunks = events(reply.content)
        assert chunks[-1] == "[DONE]"
        text = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks[:-1])
        assert text
        assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
        again = await at.client.post(f"/engines/{FAKE}/requests/{number}/cancel")
        assert again.status_code == 404
        assert again.json()["error"]["code"] == "request_not_found"


async def test_a_cancelled_answer_that_was_not_streamed_is_whole_json(tmp_path: Path) -> None:
    async with house(tmp_path, specs=[fake(FAKE, ENDLESS)]) as made, served(made) as at:
        body = {"model": FAKE, "prompt": "go", "max_tokens": 10_000}
        asking = asyncio.create_task(at.client.post("/v1/completions", json=body))
        number = await under_way(made)
        await at.client.post(f"/engines/{FAKE}/requests/{number}/cancel")
        reply = await asking
        assert reply.status_code == 200
        choice = reply.json()["choices"][0]
        assert choice["text"]
        assert choice["finish_reason"] == "stop"


async def test_nothing_to_cancel_is_a_404_that_says_which(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        unknown = await made.post("/engines/nobody/requests/1/cancel")
        assert unknown.status == 404
        assert unknown.error["code"] == "model_not_found"
        idle = await made.post(f"/engines/{FAKE}/requests/7/cancel")
        assert idle.status == 404
        assert "no request 7" in idle.error["message"]
