"""One loaded engine: every request ends exactly once, whatever the worker or the reader does."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from impostor import pretend
from recorder import Recorder

from kolo import wire
from kolo.errors import (
    Busy,
    DeadlineExceeded,
    EngineCrashed,
    EngineStopped,
    KoloError,
    Unsupported,
)
from kolo.manager.engine import Engine
from kolo.manager.process import WorkerProcess
from kolo.models.resolve import ModelSpec
from kolo.types import (
    Chat,
    Delta,
    Embed,
    Generate,
    LoadParams,
    Prompt,
    Render,
    Tokenize,
)

GENERATE = Generate(input=Prompt(text="hello"))
SPEC = ModelSpec(id="x", path=Path("x"), params=LoadParams(), source="path")
Open = Callable[..., Awaitable[Engine]]


class Crashes:
    """Collects crashes; ``first`` is set by the first."""

    def __init__(self) -> None:
        self.errors: list[KoloError] = []
        self.first = asyncio.Event()

    def __call__(self, engine: Engine, error: KoloError) -> None:
        self.errors.append(error)
        self.first.set()


@pytest.fixture
def sink() -> Recorder:
    return Recorder()


@pytest.fixture
def crashes() -> Crashes:
    return Crashes()


@pytest.fixture
async def open_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sink: Recorder, crashes: Crashes
) -> AsyncIterator[Open]:
    """Opens an engine on a worker that runs some code; ends them all afterwards."""
    engines: list[Engine] = []

    async def open_engine(code: str, *, max_queue: int = 4, silence_ms: float = 60_000) -> Engine:
        pretend(monkeypatch, code)
        process = await WorkerProcess.start(
            wire.Load("x", LoadParams()),
            log_path=tmp_path / "x.log",
            deadline_ms=60_000,
            on_spawn=lambda pid: None,
            on_loading=lambda frame: None,
            on_note=lambda note: None,
        )
        engine = Engine(
            "x",
            SPEC,
            process,
            max_queue=max_queue,
            sink=sink,
            on_crash=crashes,
            silence_ms=silence_ms,
        )
        engines.append(engine)
        return engine

    yield open_engine
    for engine in engines:
        await engine.stop("the test is over", grace_ms=0)


ANSWERS = """
ready(parallel=1)
next(frames)
for frame in frames:
    if isinstance(frame, wire.Submit):
        delta(frame.id, "one "); delta(frame.id, "two", finish="stop")
        done(frame.id)
"""

SILENT = "ready(parallel=1)\nfor frame in frames: print(frame, flush=True)"

CANCELS = """
ready(parallel=1)
for frame in frames:
    if isinstance(frame, wire.Submit):
        delta(frame.id, "one ")
    if isinstance(frame, wire.Cancel):
        print("cancel", frame.id, flush=True)
        delta(frame.id, "", finish="cancelled")
        done(frame.id)
"""


async def texts(stream: AsyncIterator[Delta]) -> list[str]:
    return [delta.text async for delta in stream]


async def test_a_stream_gives_its_deltas_then_its_result(open_engine: Open, sink: Recorder) -> None:
    engine = await open_engine(ANSWERS)
    async with engine.submit(GENERATE) as stream:
        assert engine.in_flight == 1
        assert stream.result is None
        assert await texts(stream) == ["one ", "two"]
        assert stream.result is not None
    assert engine.in_flight == 0
    [request] = sink.requests
    assert (request.kind, request.error, request.cancelled) == ("generate", None, False)
    assert request.result == stream.result
    assert request.wall_ms > 0


async def test_streams_do_not_see_each_other(open_engine: Open) -> None:
    engine = await open_engine("""
ready(parallel=4)
next(frames)
ids = [next(frames).id for _ in range(3)]
for word in ("a", "b", "c"):
    send(wire.Tokens([Delta(id, 0, f"{word}{id}", 1) for id in ids]))
send(wire.Failed(ids[1], ErrorInfo("Unsupported", "cannot")))
done(ids[2]); done(ids[0])
for _ in frames: pass
""")
    streams = [engine.submit(GENERATE) for _ in range(3)]
    assert await texts(streams[0]) == ["a1", "b1", "c1"]
    assert await texts(streams[2]) == ["a3", "b3", "c3"]
    failing = streams[1]
    assert [(await anext(failing)).text for _ in range(3)] == ["a2", "b2", "c2"]
    with pytest.raises(Unsupported, match="cannot"):
        await anext(failing)
    assert streams[1].result is None


async def test_a_slow_reader_slows_nobody_and_its_backlog_is_merged(
    open_engine: Open, sink: Recorder
) -> None:
    engine = await open_engine("""
ready(parallel=2)
next(frames)
slow, quick = next(frames).id, next(frames).id
for _ in range(5000):
    send(wire.Tokens([Delta(slow, 0, "s", 1), Delta(quick, 0, "q", 1)]))
done(quick); done(slow)
for _ in frames: pass
""")
    slow, quick = engine.submit(GENERATE), engine.submit(GENERATE)
    assert "".join(await texts(quick)) == "q" * 5000
    await sink.until(lambda: len(sink.requests) == 2)
    batch = await slow.next_batch()
    assert len(batch) < 20
    assert "".join(delta.text for delta in batch) == "s" * 5000
    assert sum(delta.n_tokens for delta in batch) == 5000
    assert await slow.next_batch() == []


async def test_leaving_a_stream_cancels_it_and_frees_its_place(
    open_engine: Open, sink: Recorder
) -> None:
    engine = await open_engine(CANCELS)
    async with engine.submit(GENERATE) as stream:
        assert (await anext(stream)).text == "one "
    assert await stream.next_batch() == []
    await stream.aclose()
    await sink.until(lambda: len(sink.requests) == 1)
    assert [request.cancelled for request in sink.requests] == [True]


async def test_a_stream_that_is_dropped_unread_is_cancelled(
    open_engine: Open, sink: Recorder
) -> None:
    engine = await open_engine(CANCELS)
    stream = engine.submit(GENERATE)
    await anext(stream)
    del stream
    gc.collect()
    await sink.until(lambda: len(sink.requests) == 1)
    assert [request.cancelled for request in sink.requests] == [True]


async def test_a_cancelled_reader_cancels_the_request(open_engine: Open, sink: Recorder) -> None:
    engine = await open_engine(CANCELS)
    reading = asyncio.Event()

    async def read() -> None:
        async with engine.submit(GENERATE) as stream:
            await anext(stream)
            reading.set()
            await anext(stream)

    task = asyncio.create_task(read())
    await reading.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await sink.until(lambda: len(sink.requests) == 1)
    assert [request.cancelled for request in sink.requests] == [True]


async def test_past_the_queue_a_request_is_turned_away_with_a_time(
    open_engine: Open, sink: Recorder
) -> None:
    engine = await open_engine(CANCELS, max_queue=2)
    streams = [engine.submit(GENERATE) for _ in range(3)]
    with pytest.raises(Busy, match="3 requests for 1 slots") as caught:
        engine.submit(GENERATE)
    assert caught.value.retry_after_s is not None
    assert caught.value.retry_after_s >= 1
    assert sink.of("refused") == [("refused", "x", "Busy")]
    await streams[0].aclose()
    await sink.until(lambda: len(sink.requests) == 1)
    async with engine.submit(GENERATE):
        assert engine.in_flight == 3


async def test_a_killed_worker_fails_every_stream_at_once_and_says_how(
    open_engine: Open, crashes: Crashes, sink: Recorder
) -> None:
    engine = await open_engine(
        "ready(parallel=8)\nprint('my last line', flush=True)\n"
        "for frame in frames:\n    if isinstance(frame, wire.Submit): delta(frame.id, 'one')",
        max_queue=8,
    )
    streams = [engine.submit(GENERATE) for _ in range(8)]
    for stream in streams:
        assert (await anext(stream)).text == "one"
    os.kill(engine.pid, signal.SIGKILL)
    for stream in streams:
        with pytest.raises(EngineCrashed, match=r"killed by signal 9 \(SIGKILL\)") as caught:
            await anext(stream)
        assert "my last line" in caught.value.hint
    assert engine.state == "crashed"
    assert engine.in_flight == 0
    assert len(crashes.errors) == 1
    assert all(isinstance(request.error, EngineCrashed) for request in sink.requests)
    assert len(sink.requests) == 8
    with pytest.raises(EngineCrashed):
        engine.submit(GENERATE)


async def test_what_came_before_a_crash_is_still_read(open_engine: Open) -> None:
    engine = await open_engine(
        "ready()\nnext(frames)\nid = next(frames).id\ndelta(id, 'whole'); sys.exit(3)"
    )
    stream = engine.submit(GENERATE)
    assert (await anext(stream)).text == "whole"
    with pytest.raises(EngineCrashed, match="exited with status 3"):
        await anext(stream)


async def test_stopping_fails_what_is_open_and_is_no_crash(
    open_engine: Open, crashes: Crashes
) -> None:
    engine = await open_engine(SILENT)
    stream = engine.submit(GENERATE)
    await engine.stop("make room", grace_ms=0)
    with pytest.raises(EngineStopped, match="make room"):
        await anext(stream)
    assert engine.state == "stopped"
    assert crashes.errors == []
    with pytest.raises(EngineStopped):
        engine.submit(GENERATE)


async def test_a_worker_that_answers_what_was_not_asked_is_a_crash(
    open_engine: Open, crashes: Crashes
) -> None:
    engine = await open_engine("ready()\nnext(frames)\nnext(frames)\ndone(99)\nsignal.pause()")
    stream = engine.submit(GENERATE)
    with pytest.raises(EngineCrashed, match="request 99"):
        await anext(stream)
    assert len(crashes.errors) == 1


async def test_a_worker_that_hangs_is_asked_then_killed(
    open_engine: Open, crashes: Crashes
) -> None:
    engine = await open_engine(SILENT, silence_ms=50)
    stream = engine.submit(GENERATE)
    with pytest.raises(EngineCrashed, match="hung") as caught:
        await anext(stream)
    assert "Inspect" in caught.value.hint


async def test_a_slow_worker_that_still_answers_is_left_alone(open_engine: Open) -> None:
    engine = await open_engine(
        """
ready(parallel=1)
next(frames)
slow = next(frames).id
for _ in range(3):
    send(wire.Done(next(frames).id, EngineStats()))
done(slow)
for _ in frames: pass
""",
        silence_ms=50,
    )
    stream = engine.submit(GENERATE)
    assert await texts(stream) == []
    assert stream.result is not None


async def test_an_idle_worker_is_not_asked_for_signs_of_life(
    open_engine: Open, crashes: Crashes
) -> None:
    engine = await open_engine(ANSWERS, silence_ms=20)
    assert await texts(engine.submit(GENERATE)) == ["one ", "two"]
    await asyncio.sleep(0.1)
    assert await texts(engine.submit(GENERATE)) == ["one ", "two"]
    assert crashes.errors == []


CALLS = """
ready(parallel=1)
next(frames)
for frame in frames:
    if isinstance(frame, wire.Cancel):
        send(wire.Done(frame.id, Embedded(vectors=[], prompt_tokens=0)))
    elif isinstance(frame.op, Tokenize):
        send(wire.Done(frame.id, Tokenized(tokens=[1], pieces=[b"a"])))
    elif isinstance(frame.op, Render):
        send(wire.Failed(frame.id, ErrorInfo("Unsupported", "no template", param="model")))
    elif isinstance(frame.op, Inspect):
        send(wire.Done(frame.id, EngineStats(steps=frame.id)))
"""


async def test_calls_give_their_result_or_raise_their_error(
    open_engine: Open, sink: Recorder
) -> None:
    engine = await open_engine(CALLS)
    assert (await engine.call(Tokenize(text="a"))).tokens == [1]
    with pytest.raises(Unsupported, match="no template"):
        await engine.call(Render(chat=Chat(messages=[])))
    assert engine.in_flight == 0
    assert sink.requests == []


async def test_a_call_past_its_deadline_is_cancelled(open_engine: Open, sink: Recorder) -> None:
    engine = await open_engine(CALLS)
    with pytest.raises(DeadlineExceeded):
        await engine.call(Embed(inputs=["a"]), deadline_ms=20)
    await sink.until(lambda: len(sink.requests) == 1)
    assert [(r.kind, r.cancelled) for r in sink.requests] == [("embed", True)]


async def test_all_who_ask_for_stats_share_one_question(open_engine: Open) -> None:
    engine = await open_engine(CALLS)
    stats = await asyncio.gather(*(engine.stats() for _ in range(5)))
    assert [s.steps for s in stats] == [1] * 5
    assert (await engine.stats()).steps == 2


async def test_unanswered_questions_for_stats_do_not_pile_up(open_engine: Open) -> None:
    engine = await open_engine(SILENT)
    for _ in range(3):
        with pytest.raises(DeadlineExceeded):
            await engine.stats(deadline_ms=5)
    assert len(engine._open) == 1


async def test_a_sink_that_fails_takes_no_stream_with_it(
    open_engine: Open, sink: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(id: str, request: object) -> None:
        raise RuntimeError("broken sink")

    monkeypatch.setattr(sink, "finished", broken)
    reported: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: reported.append(context["message"]))
    engine = await open_engine(ANSWERS)
    for _ in range(2):
        assert await texts(engine.submit(GENERATE)) == ["one ", "two"]
    assert len(reported) == 2
