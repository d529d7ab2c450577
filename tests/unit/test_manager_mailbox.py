"""A slow reader's mailbox: bounded, in order, nothing lost."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kolo.errors import EngineCrashed
from kolo.manager.mailbox import UNMERGED, Mailbox
from kolo.types import Delta, Generated, Timings, TokenLogprob, ToolCallDelta, Usage

DONE = Generated(usage=Usage(completion_tokens=1), timings=Timings())


def text(words: str, index: int = 0, **more: object) -> Delta:
    return Delta(1, index, words, 1, **more)  # type: ignore[arg-type]


async def read_all(box: Mailbox) -> list[Delta]:
    deltas = []
    while batch := await box.take():
        deltas += batch
    return deltas


async def test_a_reader_that_keeps_up_sees_every_delta_as_it_came() -> None:
    box = Mailbox()
    box.put(text("a"))
    assert await box.take() == [text("a")]
    box.put(text("b"))
    box.put(text("c"))
    assert await box.take() == [text("b"), text("c")]


async def test_past_a_few_deltas_are_merged_with_counts_and_lists() -> None:
    box = Mailbox()
    for _ in range(UNMERGED):
        box.put(text("x"))
    logprob = TokenLogprob(5, "y", b"y", -0.5)
    call = ToolCallDelta(0, "c1", "f", "{")
    box.put(Delta(1, 0, "y", 2, logprobs=[logprob], tool_calls=[call]))
    deltas = await box.take()
    assert len(deltas) == UNMERGED
    last = Delta(1, 0, "xy", 3, logprobs=[logprob], tool_calls=[call])
    assert deltas[-1] == last


async def test_what_waits_does_not_grow_with_the_number_of_deltas() -> None:
    box = Mailbox()
    for _ in range(10_000):
        for index in range(3):
            box.put(text("t", index))
    deltas = await box.take()
    assert len(deltas) <= UNMERGED + 3
    assert sum(delta.n_tokens for delta in deltas) == 30_000


async def test_a_final_delta_stands_alone_and_nothing_is_merged_over_it() -> None:
    box = Mailbox()
    for _ in range(UNMERGED):
        box.put(text("x"))
    box.put(text("end", finish="stop", stop_sequence="\n"))
    box.put(text("other", 1))
    box.put(text("more", 1))
    *_, final, other = await box.take()
    assert final == text("end", finish="stop", stop_sequence="\n")
    assert other.text == "othermore"


async def test_channels_keep_their_order() -> None:
    box = Mailbox()
    for _ in range(UNMERGED):
        box.put(text("", reasoning="r"))
    box.put(text("answer"))
    box.put(text("", reasoning="thought again"))
    box.put(text(" b"))
    *_, first, second = await box.take()
    assert (first.reasoning, first.text) == ("r", "answer")
    assert (second.reasoning, second.text) == ("thought again", " b")


async def test_the_end_is_an_empty_batch_and_stays_so() -> None:
    box = Mailbox()
    box.put(text("a"))
    box.finish(DONE)
    assert box.closed
    assert [delta.text for delta in await box.take()] == ["a"]
    assert await box.take() == []
    assert await box.take() == []
    assert box.result is DONE


async def test_a_failure_comes_after_the_deltas_that_came_before_it() -> None:
    box = Mailbox()
    box.put(text("a"))
    box.fail(EngineCrashed("gone", hint="again"))
    assert [delta.text for delta in await box.take()] == ["a"]
    for _ in range(2):
        with pytest.raises(EngineCrashed, match="gone"):
            await box.take()


async def test_a_discarding_mailbox_holds_nothing_and_still_ends() -> None:
    box = Mailbox()
    box.put(text("a"))
    box.discard()
    box.put(text("b"))
    box.finish(DONE)
    assert await box.take() == []


async def test_every_waiter_of_an_outcome_gets_it() -> None:
    box = Mailbox()
    waiters = [asyncio.create_task(box.outcome()) for _ in range(3)]
    await asyncio.sleep(0)
    box.finish(DONE)
    assert await asyncio.gather(*waiters) == [DONE] * 3


PIECES = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["reasoning", "text", "tool"]),
        st.text(alphabet="ab", min_size=1, max_size=3),
        st.booleans(),
    ),
    max_size=60,
)


@given(PIECES)
def test_whenever_it_is_read_the_answer_is_the_same(
    pieces: list[tuple[int, str, str, bool]],
) -> None:
    """Per choice, the sequence of (channel, characters) is what was put in."""

    def delta(index: int, channel: str, words: str) -> Delta:
        if channel == "tool":
            return Delta(1, index, "", 1, tool_calls=[ToolCallDelta(0, arguments=words)])
        if channel == "reasoning":
            return Delta(1, index, "", 1, reasoning=words)
        return Delta(1, index, words, 1)

    async def scenario() -> list[Delta]:
        box = Mailbox()
        got = []
        for index, channel, words, read in pieces:
            box.put(delta(index, channel, words))
            if read:
                got += await box.take()
        box.finish(DONE)
        return got + await read_all(box)

    got = asyncio.run(scenario())
    for index in range(3):
        sent = [(ch, c) for at, ch, words, _ in pieces if at == index for c in words]
        assert list(characters(got, index)) == sent
    assert sum(delta.n_tokens for delta in got) == len(pieces)


def characters(deltas: list[Delta], index: int) -> list[tuple[str, str]]:
    """As a reader takes a delta apart: reasoning, then text, then tool calls."""
    found = []
    for delta in deltas:
        if delta.index == index:
            found += [("reasoning", c) for c in delta.reasoning]
            found += [("text", c) for c in delta.text]
            found += [("tool", c) for call in delta.tool_calls for c in call.arguments]
    return found
