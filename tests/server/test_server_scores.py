"""``logprobs`` are those of the text: joined, their tokens are it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving import FAKE, House, fake, house

from kolo.engine.text import Characters, StopFilter
from kolo.server.scores import Shown, n_characters
from kolo.types import Delta, TokenLogprob

HARD = "a😀漢字é́ ﷽"
TEXTS = st.text(alphabet="ab<>/ é漢😀", max_size=12)


def token(raw: bytes, at: int = 0) -> TokenLogprob:
    return TokenLogprob(at, raw.decode("utf-8", "replace"), raw, -float(at))


def told(pieces: list[bytes], stops: list[str], end: bytes = b"<|im_end|>") -> tuple[str, Any]:
    """What an engine makes of some tokens, and which of them are shown, delta by delta."""
    shown, characters, stop = Shown(), Characters(), StopFilter(stops)
    text, found = "", []
    for at, piece in enumerate(pieces):
        new = stop.feed(characters.feed(piece))
        text += new
        over = stop.stopped is not None
        delta = Delta(1, 0, new, 1, logprobs=[token(piece, at)], finish="stop" if over else None)
        found += shown.feed(delta)
        if over:
            return text, found
    last = stop.finish()
    ending = Delta(1, 0, last, 1, logprobs=[token(end, len(pieces))], finish="stop")
    return text + last, found + shown.feed(ending)


@given(TEXTS, st.lists(st.integers(1, 5), min_size=12, max_size=40), st.lists(TEXTS, max_size=3))
def test_joined_they_are_the_text_however_it_is_cut_and_stopped(
    text: str, lengths: list[int], stops: list[str]
) -> None:
    raw, pieces = text.encode(), []
    for length in lengths:
        pieces.append(raw[:length])
        raw = raw[length:]
    pieces = [piece for piece in [*pieces, raw] if piece]
    answer, found = told(pieces, stops)
    assert b"".join(one.raw for one in found) == answer.encode()
    assert [one.token for one in found] == sorted({one.token for one in found})
    assert sum(n_characters(one.raw) for one in found) == len(answer)


def test_a_stop_text_cuts_the_token_it_begins_in() -> None:
    answer, found = told([b"Hi", b" the", b"re it", b" is"], ["ere i"])
    assert answer == "Hi th"
    assert [one.raw for one in found] == [b"Hi", b" th"]
    assert [one.logprob for one in found] == [0.0, -1.0]


def test_thoughts_and_markup_are_left_out() -> None:
    shown = Shown()
    found = []
    for piece, reasoning, content in (
        (b"<think>", "", ""),
        (b"Hi", "Hi", ""),
        (b"</think>", "", ""),
        (b"Hi", "", "Hi"),
    ):
        logprobs = [token(piece, len(found) + 1)]
        found += shown.feed(Delta(1, 0, content, 1, reasoning=reasoning, logprobs=logprobs))
    assert [one.raw for one in found] == [b"Hi"]


def test_bytes_that_are_no_character_are_told_as_they_came() -> None:
    answer, found = told([b"a", b"\xff", b"b"], [])
    assert answer == "a\ufffdb"
    assert [one.raw for one in found] == [b"a", b"\xff", b"b"]


# Over HTTP -----------------------------------------------------------------------------------


@pytest.fixture
async def fakes(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path, specs=[fake(FAKE)]) as made:
        yield made


@pytest.mark.parametrize("stop", [[], ["o w"], ["é"], ["words"]])
async def test_streamed_or_not_they_are_the_same(fakes: House, stop: list[str]) -> None:
    fields: dict[str, Any] = {"max_tokens": 40, "temperature": 0, "stop": stop, "n": 2}
    fields |= {"logprobs": True, "top_logprobs": 2}
    whole = (await fakes.chat("hello", **fields)).json["choices"]
    chunks = (await fakes.chat("hello", **fields, stream=True)).events[:-1]
    for index in range(2):
        own = [c for chunk in chunks for c in chunk["choices"] if c["index"] == index]
        text = "".join(c["delta"].get("content") or "" for c in own)
        scores = [one for c in own if c["logprobs"] for one in c["logprobs"]["content"]]
        assert text == whole[index]["message"]["content"]
        assert scores == whole[index]["logprobs"]["content"]
        assert bytes(byte for one in scores for byte in one["bytes"]).decode() == text


def test_on_a_real_model(live: str) -> None:
    ask = [{"role": "user", "content": "What is Kolo?"}]
    body = {"model": "guide", "messages": ask, "temperature": 0, "logprobs": True}
    for more in (
        {},
        {"stop": ["uage"]},
        {"grammar": f"root ::= {json.dumps(HARD, ensure_ascii=False)}"},
    ):
        reply = httpx2.post(f"{live}/v1/chat/completions", json=body | more, timeout=60).json()
        (choice,) = reply["choices"]
        assert choice["finish_reason"] == "stop"
        content = choice["logprobs"]["content"]
        assert bytes(byte for one in content for byte in one["bytes"]) == (
            choice["message"]["content"].encode()
        )
    prompt = {"model": "guide", "prompt": "Kolo is", "echo": True, "logprobs": 1, "stop": ["o"]}
    reply = httpx2.post(f"{live}/v1/completions", json=prompt, timeout=60).json()
    (choice,) = reply["choices"]
    scores = choice["logprobs"]
    assert "".join(scores["tokens"]) == choice["text"]
    assert scores["text_offset"] == [
        len("".join(scores["tokens"][:at])) for at in range(len(scores["tokens"]))
    ]
