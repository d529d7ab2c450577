"""The engine timing itself: what is counted, and that nobody else is disturbed for good."""

from __future__ import annotations

from pathlib import Path

import ggufs
import msgspec
import pytest
from harness import Worker, prompt, worker

from kolo.errors import BadParameter, Busy, ContextLengthExceeded
from kolo.timing import Measure, Measured
from kolo.types import LoadParams, Sampling

GREEDY = Sampling(temperature=0, ignore_eos=True)
SLOW = msgspec.json.encode({"row_ms": 5, "words": 10**9}).decode()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ggufs.tiny_llama(tmp_path_factory.mktemp("measure") / "tiny.gguf")


def measured(started: Worker, **op: object) -> Measured:
    answer = started.ask(Measure(**op))  # type: ignore[arg-type]
    if answer.error is not None:
        raise answer.error
    assert isinstance(answer.result, Measured)
    return answer.result


@pytest.mark.parametrize("unified", [False, True])
@pytest.mark.parametrize("width", [1, 3, 4])
def test_decode_counts_steps_of_the_full_width(tiny: Path, width: int, unified: bool) -> None:
    params = LoadParams(ctx=256, parallel=4, threads=1, kv_unified=unified)
    with worker(str(tiny), params) as started:
        found = measured(started, kind="decode", width=width, n_prompt=100, n_output=12)
    assert found.n_tokens == 12 * width
    assert len(found.step_ms) == len(found.backend_ms) == 12
    assert all(0 < b <= s for b, s in zip(found.backend_ms, found.step_ms, strict=True))


@pytest.mark.parametrize("width", [1, 4])
def test_prefill_counts_every_token_of_every_prompt(tiny: Path, width: int) -> None:
    with worker(str(tiny), LoadParams(ctx=256, parallel=4, threads=1)) as started:
        found = measured(started, kind="prefill", width=width, n_prompt=200)
    assert found.n_tokens == 200 * width


def test_nothing_is_streamed_and_answers_are_the_same_after_as_before(tiny: Path) -> None:
    ask = prompt("hello world", sampling=GREEDY, max_tokens=20)
    with worker(str(tiny), LoadParams(ctx=256, parallel=2, threads=1)) as started:
        before = started.ask(ask)
        n_frames = len(started.frames)
        measured(started, kind="decode", width=2, n_prompt=50, n_output=8)
        assert len(started.frames) == n_frames + 1
        after = started.ask(ask)
        stats = started.stats()
    assert after.text() == before.text()
    assert after.generated.usage.cached_tokens == 0, "the slots were used for something else"
    assert all(slot.state == "idle" for slot in stats.slots)


def test_what_the_context_cannot_hold_is_refused(tiny: Path) -> None:
    with worker(str(tiny), LoadParams(ctx=256, parallel=2, threads=1)) as started:
        with pytest.raises(BadParameter, match="a width of 3 was asked for"):
            measured(started, kind="decode", width=3)
        with pytest.raises(ContextLengthExceeded, match="holds 256"):
            measured(started, kind="decode", n_prompt=250, n_output=10)
        with pytest.raises(ContextLengthExceeded):
            measured(started, kind="prefill", n_prompt=256)
        assert measured(started, kind="prefill", n_prompt=255).n_tokens == 255


def test_an_engine_with_other_work_says_that_it_is_busy() -> None:
    params = LoadParams(ctx=4096, parallel=2, warmup=False)
    with worker(SLOW, params, "fake") as started:
        talking = started.submit(prompt("go on", max_tokens=4000))
        while not started.answers[talking].deltas:
            started.read()
        with pytest.raises(Busy):
            measured(started, kind="decode", n_output=4)
        started.cancel(talking)
        started.wait(talking)
        assert measured(started, kind="decode", n_output=4).n_tokens == 4


def test_a_request_that_comes_meanwhile_is_answered_afterwards() -> None:
    params = LoadParams(ctx=4096, parallel=2, warmup=False)
    with worker(SLOW, params, "fake") as started:
        timing = started.submit(Measure(kind="decode", n_output=20))
        talking = started.submit(prompt("go on", max_tokens=3))
        answers = started.wait(timing, talking)
        ends = [frame.id for frame in started.frames if hasattr(frame, "result")]
    assert ends == [timing, talking]
    assert answers[1].generated.usage.completion_tokens == 3


def test_a_measurement_can_be_given_up_and_the_engine_lives_on() -> None:
    params = LoadParams(ctx=100_000, parallel=2, warmup=False)
    with worker(SLOW, params, "fake") as started:
        timing = started.submit(Measure(kind="decode", n_output=50_000))
        alive = started.stats()  # asked, and answered, between two of its steps
        started.cancel(timing)
        answer = started.wait(timing)[0]
        assert started.ask(prompt("go on", max_tokens=3)).generated.usage.completion_tokens == 3
    assert alive.running == 0
    assert answer.ends == 1
