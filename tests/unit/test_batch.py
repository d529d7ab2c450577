"""Runs over many requests: order, what is tried again, and files that survive anything."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from kolo.batch import retry
from kolo.batch.answer import Answer
from kolo.batch.lines import count_lines, lines_of
from kolo.batch.recipe import Recipe
from kolo.batch.record import completion, completion_line, encoded, failed_line
from kolo.batch.request import decoded, id_of, request_of
from kolo.batch.results import Kept, ResultFile
from kolo.batch.retry import pause_after, persistently
from kolo.batch.run import Line, Run, Tally
from kolo.batch.runner import in_order
from kolo.errors import (
    AuthFailed,
    BadGrammar,
    Busy,
    EngineCrashed,
    KoloError,
    ModelNotFound,
    ServerUnreachable,
    UsageError,
)
from kolo.types import (
    Chat,
    Constraint,
    Delta,
    Generate,
    Generated,
    Message,
    Prompt,
    Sampling,
    Timings,
    TokenLogprob,
    Usage,
)

# In order -------------------------------------------------------------------------------------


async def counting(n: int) -> AsyncIterator[int]:
    for index in range(n):
        yield index


async def test_results_come_in_order_whoever_is_first() -> None:
    gates = [asyncio.Event() for _ in range(5)]
    emitted: list[int] = []

    async def work(index: int) -> int:
        await gates[index].wait()
        if index:
            gates[index - 1].set()  # the last begins, the first ends last
        return index

    async def emit(index: int) -> None:
        emitted.append(index)

    gates[4].set()
    await in_order(counting(5), work, emit, concurrency=5)
    assert emitted == [0, 1, 2, 3, 4]


async def test_no_more_are_under_way_than_allowed() -> None:
    under_way, most = 0, 0

    async def work(index: int) -> int:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return index

    async def emit(index: int) -> None: ...

    await in_order(counting(50), work, emit, concurrency=3)
    assert most == 3


async def test_one_that_takes_long_does_not_have_the_whole_input_read() -> None:
    read = 0
    stuck = asyncio.Event()

    async def source() -> AsyncIterator[int]:
        nonlocal read
        for index in range(10_000):
            read += 1
            yield index

    async def work(index: int) -> int:
        if index == 0:
            await stuck.wait()
        return index

    seen: list[int] = []

    async def emit(index: int) -> None:
        seen.append(index)

    run = asyncio.create_task(in_order(source(), work, emit, concurrency=2))
    for _ in range(1000):
        await asyncio.sleep(0)
    assert read < 100
    assert not seen
    stuck.set()
    await run
    assert seen == list(range(10_000))


async def test_what_ends_the_run_is_raised_when_all_before_it_is_out() -> None:
    emitted: list[int] = []
    cancelled: list[int] = []

    async def work(index: int) -> int:
        if index == 2:
            raise ServerUnreachable("gone")
        if index > 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(index)
                raise
        await asyncio.sleep(0.01)
        return index

    async def emit(index: int) -> None:
        emitted.append(index)

    with pytest.raises(ServerUnreachable):
        await in_order(counting(100), work, emit, concurrency=4)
    assert emitted == [0, 1]
    assert 3 in cancelled


async def test_a_source_that_breaks_is_raised_in_its_turn() -> None:
    emitted: list[int] = []

    async def source() -> AsyncIterator[int]:
        yield 0
        yield 1
        raise OSError(5, "Input/output error")

    async def work(index: int) -> int:
        return index

    async def emit(index: int) -> None:
        emitted.append(index)

    with pytest.raises(OSError, match="Input/output"):
        await in_order(source(), work, emit, concurrency=8)
    assert emitted == [0, 1]


async def test_a_run_that_is_cancelled_cancels_all_of_it_even_when_results_pile_up() -> None:
    running: set[int] = set()
    begun = asyncio.Event()

    async def work(index: int) -> int:
        if index:
            return index
        running.add(index)
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            running.discard(index)
        return index

    async def emit(index: int) -> None: ...

    run = asyncio.create_task(in_order(counting(10_000), work, emit, concurrency=2))
    await begun.wait()
    for _ in range(200):
        await asyncio.sleep(0)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(run, 30)
    assert not running


# Again ----------------------------------------------------------------------------------------


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses."""
    monkeypatch.setattr(retry, "FIRST_PAUSE_S", 0.0)


def failing(*errors: KoloError) -> tuple[Callable[[], Awaitable[str]], list[int]]:
    """An attempt that raises these in turn, then succeeds; and how often it was made."""
    left = list(errors)
    made: list[int] = []

    async def attempt() -> str:
        made.append(1)
        if left:
            raise left.pop(0)
        return "done"

    return attempt, made


@pytest.mark.usefixtures("hasty")
async def test_what_passes_is_tried_again() -> None:
    attempt, made = failing(ServerUnreachable("gone"), Busy("full"), EngineCrashed("dead"))
    told: list[str] = []
    done = await persistently(attempt, 3, told=lambda error, pause_s: told.append(str(error)))
    assert (done, len(made), told) == ("done", 4, ["gone", "full", "dead"])


@pytest.mark.usefixtures("hasty")
async def test_the_last_failure_is_raised() -> None:
    attempt, made = failing(Busy("one"), Busy("two"), Busy("three"))
    with pytest.raises(Busy, match="three"):
        await persistently(attempt, 2)
    assert len(made) == 3


@pytest.mark.usefixtures("hasty")
async def test_what_would_fail_again_is_not_tried_again() -> None:
    attempt, made = failing(BadGrammar("no"))
    with pytest.raises(BadGrammar):
        await persistently(attempt, 5)
    assert len(made) == 1


@pytest.mark.usefixtures("hasty")
async def test_what_was_shown_already_is_not_repeated() -> None:
    attempt, made = failing(Busy("one"))
    with pytest.raises(Busy):
        await persistently(attempt, 5, may_repeat=lambda: False)
    assert len(made) == 1


def test_pauses_grow_to_a_bound_and_follow_the_server() -> None:
    assert 0.25 <= pause_after(0, None) <= 0.5
    assert 4 <= pause_after(10, None) <= 8
    assert pause_after(10_000, None) <= 8
    assert pause_after(0, 30.0) == 30.0
    assert pause_after(0, 1e9) == retry.LONGEST_ASKED_FOR_S


# A file of results ----------------------------------------------------------------------------


def write(path: Path, *records: dict[str, Any]) -> None:
    with ResultFile(path) as file:
        for record in records:
            file.write(json.dumps(record).encode())


def test_a_file_goes_on_where_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "out"
    write(path, {"index": 0, "id": "a", "text": "x"}, {"index": 1, "error": {"code": "c"}})
    with ResultFile(path) as file:
        assert [kept.index for kept in file.kept] == [0, 1]
        assert file.kept[0].id == "a"
        assert Tally(file.kept).failed == 1
        file.write(b'{"index":2}')
    assert path.read_bytes().count(b"\n") == 3


@pytest.mark.parametrize("torn", [b'{"index":1', b'{"index":1}', b"\0\0\0", b"x"])
def test_a_torn_last_line_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "out"
    whole = b'{"index":0,"text":"x"}\n'
    path.write_bytes(whole + torn)
    with ResultFile(path) as file:
        assert len(file.kept) == 1
        assert file.n_torn_bytes == len(torn)
        file.write(b'{"index":1,"text":"y"}')
    assert path.read_bytes() == whole + b'{"index":1,"text":"y"}\n'


@pytest.mark.parametrize(
    "text", ["hello\n", "hello", '{"a":1}', "[]\n", '{"index":1}\n', '{"index":0}\n{"index":0}\n']
)
def test_a_file_of_something_else_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "out"
    path.write_text(text)
    with pytest.raises(UsageError, match="is not the result of request"), ResultFile(path):
        pass
    assert path.read_text() == text


def test_two_runs_do_not_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with ResultFile(path), pytest.raises(UsageError, match="another run"), ResultFile(path):
        pass
    with ResultFile(path) as file:
        assert file.kept == []


LINES = [
    b'{"index":0,"text":"a"}\n',
    b'{"index":1,"error":{"code":"c"}}\n',
    b'{"index":2,"id":"x","text":"c"}\n',
    b'{"index":3,"error":{"code":"c"}}\n',
    b'{"index":4,"text":"e"}\n',
]


async def retried(path: Path, n: int, upto: int | None = None) -> list[int]:
    """Which of ``n`` requests a run asks that retries what failed; ``upto`` kills it there."""
    asked: list[int] = []

    async def ask(content: Any, line: Line) -> Struct:
        if line.index == upto:
            raise ServerUnreachable("gone")
        asked.append(line.index)
        return Said(line.index, content)

    with ResultFile(path, retry_failed=True) as file:

        async def write(record: bytes) -> None:
            file.write(record)

        run = Run(
            ask=ask,
            write=write,
            tally=Tally(file.kept),
            concurrency=1,
            retries=0,
            timeout_s=None,
            told=lambda error, pause_s: None,
        )
        lines = [{"id": "x"} if index == 2 else "a" for index in range(n)]
        await run.over(given(*lines), file.kept, file.later)
        file.finish()
    return asked


async def test_what_failed_is_asked_again_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"".join(LINES))
    assert await retried(path, 6) == [1, 3, 5]
    found = path.read_bytes().splitlines(keepends=True)
    assert [json.loads(line)["index"] for line in found] == [0, 1, 2, 3, 4, 5]
    assert [found[0], found[2], found[4]] == [LINES[0], LINES[2], LINES[4]]
    assert b"error" not in b"".join(found)
    assert os.listdir(tmp_path) == ["out"]
    assert await retried(path, 6) == []


@pytest.mark.parametrize("torn", [b"", b'{"in'])
async def test_answers_outlive_a_retry_that_is_cut_short(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"".join(LINES))
    with pytest.raises(ServerUnreachable):
        await retried(path, 5, upto=3)
    with path.open("ab") as file:
        file.write(torn)
    with ResultFile(path) as opened:  # a run that retries nothing keeps them too
        assert [kept.index for kept in opened.kept] == [0, 1, 2]
        assert opened.later == {4: LINES[4].rstrip()}
    assert await retried(path, 5) == [3]
    assert path.read_bytes().count(b"\n") == 5
    assert os.listdir(tmp_path) == ["out"]


async def test_a_second_retry_keeps_what_the_first_had_still_to_write(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"".join(LINES))
    with ResultFile(path, retry_failed=True) as file:
        assert sorted(file.later) == [2, 4]
        file.write(b'{"index":1,"error":{"code":"again"}}')
    assert await retried(path, 5) == [1, 3]
    assert path.read_bytes().splitlines(keepends=True)[2] == LINES[2]


@pytest.mark.parametrize("content", [b"my own notes\n", b'{"index":4,"tex', b"\xff\xfe"])
def test_a_stranger_beside_the_file_is_refused_and_left_alone(
    tmp_path: Path, content: bytes
) -> None:
    path, beside = tmp_path / "out", tmp_path / "out.later"
    path.write_bytes(b"".join(LINES))
    beside.write_bytes(content)
    with (
        pytest.raises(UsageError, match=r"out\.later is not what a run has left"),
        ResultFile(path) as file,
    ):
        file.finish()
    assert (path.read_bytes(), beside.read_bytes()) == (b"".join(LINES), content)


def test_a_run_that_leaves_nothing_beside_its_file_removes_nothing(tmp_path: Path) -> None:
    with ResultFile(tmp_path / "out") as file:
        (tmp_path / "out.later").write_bytes(b"mine")
        file.finish()
    assert (tmp_path / "out.later").read_bytes() == b"mine"


def test_a_file_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--out: cannot write"):
        ResultFile(tmp_path)


# A run ----------------------------------------------------------------------------------------


class Said(Struct):
    index: int
    said: Any
    finish_reason: str = "stop"


async def given(*lines: Any) -> AsyncIterator[tuple[int, bytes]]:
    for number, line in enumerate(lines, 1):
        yield number, line if isinstance(line, bytes) else json.dumps(line).encode()


async def run(
    lines: Sequence[Any],
    ask: Callable[[Any, Line], Awaitable[Struct]],
    kept: Sequence[Kept] = (),
    retries: int = 0,
    timeout_s: float | None = None,
) -> tuple[list[Any], Tally]:
    written: list[Any] = []

    async def write(record: bytes) -> None:
        written.append(json.loads(record))

    tally = Tally(kept)
    whole = Run(
        ask=ask,
        write=write,
        tally=tally,
        concurrency=4,
        retries=retries,
        timeout_s=timeout_s,
        told=lambda error, pause_s: None,
    )
    await whole.over(given(*lines), kept)
    return written, tally


async def echo(content: Any, line: Line) -> Struct:
    return Said(line.index, content)


async def test_a_wrong_line_has_an_error_and_the_run_goes_on() -> None:
    async def ask(content: Any, line: Line) -> Struct:
        if content == "bad":
            raise UsageError("no", hint="yes", param="prompt")
        return await echo(content, line)

    written, tally = await run(["a", b"{", "bad", {"id": "x"}], ask)
    assert written[0] == {"index": 0, "said": "a", "finish_reason": "stop"}
    assert written[1]["error"]["message"].startswith("line 2 is not JSON: ")
    assert written[2]["error"] == {
        "code": "invalid_request",
        "message": "no",
        "hint": "yes",
        "param": "prompt",
    }
    assert written[3]["index"] == 3
    assert (tally.done, tally.failed) == (4, 2)


async def test_what_is_there_is_not_asked_again() -> None:
    written, tally = await run(["a", {"id": "b"}, "c"], echo, [Kept(0), Kept(1, "b")])
    assert written == [{"index": 2, "said": "c", "finish_reason": "stop"}]
    assert tally.done == 3


async def test_results_of_other_requests_are_noticed() -> None:
    with pytest.raises(UsageError, match="line 1 has id 'x', and result 0 in --out 'y'"):
        await run([{"id": "x"}], echo, [Kept(0, "y")])
    with pytest.raises(UsageError, match="holds 2 results already, and there are only 1"):
        await run(["a"], echo, [Kept(0), Kept(1)])


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("error", [ServerUnreachable("gone"), AuthFailed("no key")])
async def test_what_befalls_all_ends_the_run(error: KoloError) -> None:
    async def ask(content: Any, line: Line) -> Struct:
        if line.index == 2:
            raise error
        return await echo(content, line)

    with pytest.raises(type(error)):
        await run(["a", "b", "c", "d"], ask, retries=1)


async def test_a_missing_model_ends_the_run_unless_the_line_alone_named_it() -> None:
    async def ask(content: Any, line: Line) -> Struct:
        raise ModelNotFound("no model")

    with pytest.raises(ModelNotFound):
        await run(["a"], ask)
    written, _ = await run([{"prompt": "a", "model": "m"}], ask)
    assert written[0]["error"]["code"] == "model_not_found"


async def test_one_that_takes_too_long_is_given_up_alone() -> None:
    async def ask(content: Any, line: Line) -> Struct:
        if content == "slow":
            await asyncio.Event().wait()
        return await echo(content, line)

    written, _ = await run(["slow", "a"], ask, timeout_s=0.05)
    assert written[0]["error"]["code"] == "deadline_exceeded"
    assert written[1]["said"] == "a"


# Lines ----------------------------------------------------------------------------------------


async def test_lines_of_a_file_are_numbered_and_empty_ones_left_out(tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_bytes(b'"a"\n\n  \n"b"\r\n"c"')
    with path.open("rb") as file:
        assert count_lines(file.fileno()) == 3
        found = [line async for line in lines_of(file.fileno())]
    assert found == [(1, b'"a"'), (4, b'"b"\r'), (5, b'"c"')]


async def test_a_line_of_a_pipe_is_there_before_its_end() -> None:
    reader, writer = os.pipe()
    try:
        lines = lines_of(reader)
        os.write(writer, b'"a"\n"b')
        assert await anext(lines) == (1, b'"a"')
        waiting = asyncio.ensure_future(anext(lines))
        await asyncio.sleep(0)
        os.write(writer, b'c"\n')
        assert await asyncio.wait_for(waiting, 30) == (2, b'"bc"')
    finally:
        os.close(writer)
        os.close(reader)


# Requests -------------------------------------------------------------------------------------

RECIPE = Recipe(system="Be brief.", sampling=Sampling(top_k=3), stop=("x",))


def asked(line: Any, recipe: Recipe = RECIPE) -> Generate:
    return request_of(line, 1, recipe, None).op


def test_a_text_is_a_prompt() -> None:
    op = asked("hello")
    assert op.input == Chat(
        messages=[
            Message(role="system", content="Be brief."),
            Message(role="user", content="hello"),
        ]
    )
    assert (op.sampling, op.stop) == (Sampling(top_k=3), ["x"])


def test_an_object_has_its_own_over_what_holds_for_all() -> None:
    line = {
        "id": 7,
        "prompt": "hello",
        "model": "other",
        "raw": False,
        "system": "Be long.",
        "temperature": 0,
        "seed": 5,
        "max_tokens": 9,
        "stop": "y",
        "n": 2,
        "logprobs": 1,
        "choices": ["a", "b"],
    }
    request = request_of(line, 1, RECIPE, None)
    op = request.op
    assert request.model == "other"
    assert isinstance(op.input, Chat)
    assert op.input.messages[0].content == "Be long."
    assert op.sampling == Sampling(top_k=3, temperature=0.0, seed=5)
    assert (op.max_tokens, op.stop, op.n) == (9, ["y"], 2)
    assert (op.logprobs, op.top_logprobs) == (True, 1)
    assert op.constraint == Constraint(choices=["a", "b"])
    assert id_of(line) == 7


def test_messages_are_a_conversation_that_may_have_its_own_system_message() -> None:
    messages = [{"role": "system", "content": "S"}, {"role": "user", "content": "hi"}]
    own = asked({"messages": messages}).input
    assert isinstance(own, Chat)
    assert [each.content for each in own.messages] == ["S", "hi"]
    ours = asked({"messages": messages[1:]}).input
    assert isinstance(ours, Chat)
    assert [each.content for each in ours.messages] == ["Be brief.", "hi"]


def test_raw_takes_no_template() -> None:
    raw = Recipe(raw=True)
    assert asked("hello", raw).input == Prompt(text="hello")
    assert asked({"prompt": "hello", "raw": True}, Recipe()).input == Prompt(text="hello")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ({"prompt": "a", "tempreture": 1}, "line 1: Object contains unknown field `tempreture`"),
        ({"prompt": "a", "temperature": "hot"}, "line 1: Expected `float | null`, got `str`"),
        ({"prompt": "a", "temperature": 1000}, "line 1: Expected `float` <= 100.0"),
        ({"prompt": "a", "max_tokens": 0}, "line 1: Expected `int` >= 1"),
        ({}, "line 1: it needs either prompt or messages"),
        ({"prompt": "a", "messages": [{"role": "user"}]}, "line 1: it needs either"),
        ({"prompt": "a", "grammar": "g", "choices": ["a"]}, "line 1: schema, grammar and choices"),
        ({"prompt": "a", "raw": True, "system": "s"}, "line 1: raw has no chat template"),
        (5, "line 1: neither a text nor an object"),
        ([], "line 1: neither a text nor an object"),
    ],
)
def test_a_wrong_line_names_itself_and_what_is_wrong(line: Any, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        asked(line)
    assert str(caught.value).startswith(told)


def test_with_a_template_a_line_is_variables() -> None:
    def fill(variables: dict[str, Any]) -> str:
        return json.dumps(variables)

    def text(line: Any) -> Any:
        op = request_of(line, 1, Recipe(raw=True), fill).op
        assert isinstance(op.input, Prompt)
        return json.loads(op.input.text or "")

    assert text("hello") == {"input": "hello"}
    assert text({"a": 1, "id": "x"}) == {"a": 1, "id": "x"}


def test_a_line_that_is_no_json_says_where() -> None:
    with pytest.raises(UsageError, match=r"line 3 is not JSON: .*byte 1"):
        decoded(b"[,]", 3)


# Records --------------------------------------------------------------------------------------


def answer(*texts: str) -> Answer:
    whole = Answer(len(texts))
    for index, text in enumerate(texts):
        score = TokenLogprob(5, text, text.encode(), -0.5, [(6, "b", b"b", -1.0)])
        whole.choices[index].add(
            Delta(id=1, index=index, text=text, n_tokens=1, logprobs=[score], finish="stop")
        )
    whole.result = Generated(
        usage=Usage(prompt_tokens=3, completion_tokens=1), timings=Timings(ttft_ms=1.23456), seed=9
    )
    return whole


def test_a_record_says_what_was_asked_for() -> None:
    op = RECIPE.of_text("a")
    plain = json.loads(encoded(completion("m", op, answer("hi"))))
    assert plain["text"] == "hi"
    assert plain["timings"]["ttft_ms"] == 1.235
    assert not {"choices", "logprobs", "reasoning", "index"} & plain.keys()


def test_several_answers_are_choices_and_the_first_is_on_top() -> None:
    several = Recipe(n=2, logprobs=1).of_text("a")
    record = completion("m", several, answer("one", "two"))
    line = encoded(completion_line(4, "x", record))
    assert line.startswith(b'{"index":4,"id":"x",')
    found = json.loads(line)
    assert found["text"] == "one"
    assert [choice["text"] for choice in found["choices"]] == ["one", "two"]
    assert found["logprobs"] == [
        {"token": "one", "logprob": -0.5, "top": [{"token": "b", "logprob": -1.0}]}
    ]


def test_a_failure_is_a_record() -> None:
    found = json.loads(encoded(failed_line(3, None, Busy("full"))))
    assert found == {"index": 3, "error": {"code": "engine_busy", "message": "full"}}
