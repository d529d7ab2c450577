"""Timing the engine by itself, as llama-bench times llama.cpp: prompts read, tokens gained.

Runs inside the worker on the thread that owns the context, between two steps of the real loop.
A second loop over the same backend does the work, the same code with the same padding, threads
and chunks, so that what is timed is what a request meets; only its frames are encoded and then
dropped instead of being written to the socket.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

import numpy as np
from msgspec.structs import replace

from kolo import wire
from kolo.engine.backend import Backend
from kolo.engine.front import Front
from kolo.engine.job import Job
from kolo.engine.layout import Costs
from kolo.engine.loop import Item, Loop
from kolo.engine.pace import ChunkCost
from kolo.errors import BadParameter, Busy, ContextLengthExceeded, InternalError, KoloError
from kolo.timing import Measure, Measured
from kolo.types import Generate, LoadParams, Prompt, Sampling


@dataclass(frozen=True, slots=True)
class Stopwatch:
    """Makes measurements for the loop to run. Safe to call from the reader's thread."""

    backend: Backend
    params: LoadParams
    costs: Costs
    chunk_cost: ChunkCost
    front: Front

    def prepare(self, request_id: int, op: Measure) -> Measurement:
        """Raises BadParameter or ContextLengthExceeded for what the context cannot hold."""
        if op.width > self.backend.n_slots:
            raise BadParameter(
                f"a width of {op.width} was asked for, the model is loaded for "
                f"{self.backend.n_slots} requests at a time",
                hint="load it with a larger parallel",
                param="width",
            )
        needed = op.n_prompt + (op.n_output + 2 if op.kind == "decode" else 1)
        if needed > self.backend.n_ctx:
            raise ContextLengthExceeded(
                f"{needed} tokens are needed, the context holds {self.backend.n_ctx}",
                hint="load the model with a larger ctx, or measure at a smaller depth",
                param="n_prompt",
            )
        return Measurement(request_id, op, self, self._jobs(op))

    def loop(self) -> Loop:
        """Over the same backend, and knowing nothing of what it holds."""
        params = replace(self.params, cache_store_bytes=0, speculation="off")
        return Loop(self.backend, params, self.costs, self.chunk_cost, _encode_only, SimpleQueue())

    def _jobs(self, op: Measure) -> list[Job]:
        """For ``prefill`` a prompt each; for ``decode`` one request with as many answers, so
        that the prompt is read once and all start together."""
        random = np.random.default_rng(op.seed)
        n_jobs, n_answers = (op.width, 1) if op.kind == "prefill" else (1, op.width)
        jobs = []
        for index in range(n_jobs):
            tokens = random.integers(0, self.backend.vocab.n_tokens, op.n_prompt).tolist()
            request = Generate(
                input=Prompt(tokens=tokens),
                sampling=Sampling(temperature=0, ignore_eos=True),
                max_tokens=1 if op.kind == "prefill" else None,
                n=n_answers,
            )
            jobs.append(self.front.prepare(index, request))
        return jobs


@dataclass(slots=True)
class Measurement:
    """One ``Measure`` in the hands of the loop."""

    id: int
    op: Measure
    stopwatch: Stopwatch
    jobs: list[Job]
    steps: list[tuple[int, float, float]] = field(default_factory=list)
    """Tokens, milliseconds, and those of the backend."""
    later: list[Item] = field(default_factory=list)
    cancelled: bool = False

    def run(self, loop: Loop) -> None:
        """To its end, on the loop's thread; ``loop`` sends the answer."""
        if not loop.idle:
            busy = Busy(
                "the engine has other work and cannot be measured",
                hint="measure when nobody uses it",
                retry_after_s=5.0,
            )
            loop.out.send(wire.Failed(self.id, busy.info()))
            return
        loop.forget()
        try:
            self._advance(loop)
            answer: wire.Up = wire.Done(self.id, self._result())
        except KoloError as error:
            answer = wire.Failed(self.id, error.info())
        finally:
            for slot in range(self.stopwatch.backend.n_slots):
                self.stopwatch.backend.trim(slot, 0)
        loop.out.send(answer)
        for item in self.later:
            loop.take(item)

    def _advance(self, loop: Loop) -> None:
        own = self.stopwatch.loop()
        for job in self.jobs:
            own.take(job)
        after = own.stats()
        while not (own.idle or self._has_enough() or self._interrupted(loop)):
            before = after
            started = time.perf_counter()
            own.step()
            elapsed_ms = (time.perf_counter() - started) * 1000
            after = own.stats()
            backend_ms = (after.backend_us - before.backend_us) / 1000
            n_read = after.prefill_tokens - before.prefill_tokens
            n_gained = after.generated_tokens - before.generated_tokens
            if self.op.kind == "prefill":
                self.steps.append((n_read, elapsed_ms, backend_ms))
            elif not n_read and n_gained == self.op.width:
                self.steps.append((n_gained, elapsed_ms, backend_ms))
        for job in self.jobs:
            own.take(wire.Cancel(job.id))

    def _has_enough(self) -> bool:
        return self.op.kind == "decode" and len(self.steps) > self.op.n_output

    def _interrupted(self, loop: Loop) -> bool:
        """Whether the caller gave up. A sign of life is answered; all else waits its turn."""
        try:
            while True:
                item = loop.inbox.get_nowait()
                if isinstance(item, wire.Submit):
                    loop.take(item)
                elif isinstance(item, wire.Cancel) and item.id == self.id:
                    self.cancelled = True
                else:
                    self.later.append(item)
        except Empty:
            return self.cancelled

    def _result(self) -> Measured:
        counted = self.steps[1:] if self.op.kind == "decode" else self.steps
        if not counted and not self.cancelled:
            raise InternalError(f"no step had the full width of {self.op.width}")
        return Measured(
            n_tokens=sum(n_tokens for n_tokens, _, _ in counted),
            step_ms=[step_ms for _, step_ms, _ in counted],
            backend_ms=[backend_ms for _, _, backend_ms in counted],
        )


def _encode_only(*frames: wire.Up) -> None:
    for frame in frames:
        wire.encode(frame)
