"""One loaded model: requests out, answers in, until it is stopped or dies.

An engine is made loaded and never loads again: after ``stop`` or a crash the manager makes a
new one. Every request ends exactly once, by the worker's Done or Failed or by the engine's
own end, and each wait ends because a worker that stays silent too long is killed.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Literal, overload

from kolo import wire
from kolo.errors import (
    Busy,
    DeadlineExceeded,
    EngineCrashed,
    EngineStopped,
    InternalError,
    KoloError,
    from_info,
)
from kolo.manager.caller import account, caller, trace
from kolo.manager.cores import Cores
from kolo.manager.mailbox import Mailbox
from kolo.manager.meter import Meter, Progress
from kolo.manager.process import WorkerProcess
from kolo.manager.request import KINDS, Request, Underway, tokens_of
from kolo.manager.sink import Finished, Kind, Sink, tell
from kolo.manager.stream import Stream
from kolo.models.resolve import ModelSpec
from kolo.stats import EngineStats
from kolo.timing import Measure, Measured
from kolo.types import (
    Detokenize,
    Detokenized,
    Embed,
    Embedded,
    Generate,
    Inspect,
    ModelInfo,
    Operation,
    Render,
    Rendered,
    Rerank,
    Reranked,
    Result,
    Tokenize,
    Tokenized,
)

MAX_SMALL_CALLS = 256
"""Calls that take no slot (tokenize, render and so on) and may be open at once."""
CALL_DEADLINE_MS = 600_000
STATS_DEADLINE_MS = 5_000
SILENCE_MS = 60_000
"""A worker with open requests is asked for a sign of life after this long without a frame,
and killed after this long again. It answers between two steps, and a step takes seconds."""

Call = Embed | Rerank | Tokenize | Detokenize | Render | Measure
_SMOOTHING = 0.2


class Engine:
    """A worker with its model loaded. Lives on one event loop."""

    def __init__(
        self,
        id: str,
        spec: ModelSpec,
        process: WorkerProcess,
        *,
        max_queue: int,
        sink: Sink,
        on_crash: Callable[[Engine, KoloError], None],
        cores: Cores | None = None,
        clock: Callable[[], float] = time.monotonic,
        silence_ms: float = SILENCE_MS,
    ) -> None:
        self.id = id
        self.spec = spec
        self.info: ModelInfo = process.info
        self.pid = process.pid
        self.load_ms = process.load_ms
        self.state: Literal["loaded", "stopping", "stopped", "crashed"] = "loaded"
        self.in_flight = 0
        """Requests that hold or wait for a slot."""
        self.last_used = clock()
        """Reading of ``clock`` when a request or a lease last began or ended."""
        self._process = process
        self.max_queue = max_queue
        self._sink = sink
        self._on_crash = on_crash
        self._cores = cores or Cores()
        self._meter = Meter(lambda emission: tell(sink.emitted, id, emission))
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._ids = itertools.count(1)
        self._open: dict[int, Request] = {}
        self._error: KoloError | None = None
        self._mean_wall_s = 1.0
        self._inspection: Request | None = None
        self._silence_s = silence_ms / 1000
        self._heard_at_s = self._loop.time()
        self._asked_for_life = False
        self._watch: asyncio.TimerHandle | None = None
        process.attach(self._on_frame, self._on_end)

    # Requests --------------------------------------------------------------------------

    def submit(self, op: Generate) -> Stream:
        """Start a generation. Raises Busy past ``parallel + max_queue`` requests, with the
        time to wait, and EngineCrashed or EngineStopped once the engine is gone."""
        request = self._begin(op)
        return Stream(request.id, request.box, self.cancel)

    @overload
    async def call(self, op: Embed, *, deadline_ms: float = ...) -> Embedded: ...
    @overload
    async def call(self, op: Rerank, *, deadline_ms: float = ...) -> Reranked: ...
    @overload
    async def call(self, op: Tokenize, *, deadline_ms: float = ...) -> Tokenized: ...
    @overload
    async def call(self, op: Detokenize, *, deadline_ms: float = ...) -> Detokenized: ...
    @overload
    async def call(self, op: Render, *, deadline_ms: float = ...) -> Rendered: ...
    @overload
    async def call(self, op: Measure, *, deadline_ms: float = ...) -> Measured: ...
    @overload
    async def call(self, op: Call, *, deadline_ms: float = ...) -> Result: ...

    async def call(self, op: Call, *, deadline_ms: float = CALL_DEADLINE_MS) -> Result:
        """Do ``op`` and wait for its result. Raises as ``submit``, the worker's own error, or
        DeadlineExceeded; a caller that stops waiting cancels the work."""
        request = self._begin(op)
        try:
            return await self._outcome(request, deadline_ms)
        finally:
            self.cancel(request.id)

    async def stats(self, *, deadline_ms: float = STATS_DEADLINE_MS) -> EngineStats:
        """Counters and slots now. One question is open at a time, shared by all who ask."""
        result = await self._outcome(self._inspect(), deadline_ms)
        if not isinstance(result, EngineStats):
            raise InternalError(f"a worker answered Inspect with {type(result).__name__}")
        return result

    def operation(self, id: int) -> Operation | None:
        """What request ``id`` asks for; None once it has ended."""
        request = self._open.get(id)
        return request.op if request is not None else None

    def cancel(self, id: int) -> None:
        """Give up request ``id``; one that has ended or is unknown is left alone."""
        request = self._open.get(id)
        if request is not None and not request.cancelled:
            request.cancelled = True
            request.box.discard()
            self._process.send(wire.Cancel(id))

    def end(self, id: int) -> bool:
        """Have request ``id`` end with what it has, which its reader still gets; False for one
        that is not under way."""
        request = self._open.get(id)
        if request is None or request.kind is None:
            return False
        if not request.cancelled:
            request.cancelled = request.ended = True
            self._process.send(wire.Cancel(id))
        return True

    def withdraw(self, error_of: Callable[[str], KoloError | None]) -> None:
        """End every request whose account ``error_of`` has an error for; its reader gets that
        after what was written until now."""
        for request in list(self._open.values()):
            error = error_of(request.account.name)
            if error is not None and not request.box.closed:
                request.cancelled = True
                request.box.fail(error)
                self._process.send(wire.Cancel(request.id))

    def requests(self) -> list[Underway]:
        """Those that hold or wait for a slot, oldest first."""
        now_s = self._loop.time()
        return [
            Underway(
                request.id,
                request.kind,
                now_s - request.progress.submitted_s,
                request.progress.tokens,
                request.progress.ttft_ms,
                request.user,
                request.client,
                request.cancelled,
            )
            for request in self._open.values()
            if request.kind is not None
        ]

    # The engine itself -----------------------------------------------------------------

    def tell_emitted(self) -> None:
        """Let the sink know of every token that has come until now."""
        self._meter.flush()

    def touch(self) -> None:
        """Count as used now."""
        self.last_used = self._clock()

    async def stop(self, reason: str, *, grace_ms: float, farewell: wire.Stop | None = None) -> str:
        """Fail what is open with EngineStopped, end the worker; says how it ended. ``farewell``
        is that of ``WorkerProcess.stop``."""
        if self._error is None:
            self.state = "stopping"
            self._close(
                EngineStopped(
                    f"engine {self.id!r} was stopped: {reason}", hint="Send the request again."
                )
            )
        how = await self._process.stop(grace_ms, farewell)
        if self.state == "stopping":
            self.state = "stopped"
        return how

    def hurry(self) -> None:
        """Have a worker that is being stopped save no more."""
        self._process.send(wire.Stop())

    # Inside ----------------------------------------------------------------------------

    def _begin(self, op: Operation) -> Request:
        if self._error is not None:
            raise from_info(self._error.info())
        now_s = self._loop.time()
        kind, progress = KINDS.get(type(op)), Progress(now_s)
        request = Request(
            next(self._ids),
            op,
            Mailbox(),
            kind,
            progress,
            account.get(),
            caller.get(),
            trace.get(),
        )
        try:
            self._admit(request)
            self._process.send(wire.Submit(request.id, op, request.account.name))
        except Busy as error:
            tell(self._sink.refused, self.id, error)
            raise
        if not self._open:
            self._heard_at_s = request.progress.submitted_s
        self._open[request.id] = request
        if request.kind is not None:
            self.in_flight += 1
            if self.in_flight == 1:
                self._claim_cores()
            self.touch()
        self._watch_silence()
        return request

    def _claim_cores(self) -> None:
        """Who chose a number of threads keeps it, and a model all on GPUs hardly needs any."""
        if self.spec.params.threads is None and self.info.gpu_layers <= self.info.n_layer:
            self._cores.join(self, self.info.threads, self._take_cores)

    def _take_cores(self, n: int) -> None:
        self._process.send(wire.Cores(n))

    def _admit(self, request: Request) -> None:
        if request.kind is None:
            if len(self._open) - self.in_flight >= MAX_SMALL_CALLS:
                raise Busy(
                    f"engine {self.id!r} has {MAX_SMALL_CALLS} calls open",
                    hint="Try again in a moment.",
                    retry_after_s=1.0,
                )
        elif self._is_full(request.account.name):
            raise Busy(
                f"engine {self.id!r} is busy: {self.in_flight} requests for "
                f"{self.info.parallel} slots and a queue of {self.max_queue}",
                hint="Try again later, or give the engine more slots (parallel) or a longer "
                "queue (max_queue).",
                retry_after_s=_retry_after_s(self._mean_wall_s, self.info.parallel),
            )

    def _is_full(self, name: str) -> bool:
        """Whether account ``name`` is to come again later. One account that fills the queue leaves
        the others some room: for as many requests as there are slots, each."""
        places = self.info.parallel + self.max_queue
        if self.in_flight < places:
            return False
        own = sum(one.account.name == name for one in self._open.values() if one.kind is not None)
        return own >= self.info.parallel or self.in_flight >= places + self.max_queue

    async def _outcome(self, request: Request, deadline_ms: float) -> Result:
        try:
            async with asyncio.timeout(deadline_ms / 1000):
                return await request.box.outcome()
        except TimeoutError:
            raise DeadlineExceeded(
                f"engine {self.id!r} did not answer within {deadline_ms:g} ms",
                hint="It is busy, or the input is large: try again or allow more time.",
            ) from None

    def _inspect(self) -> Request:
        if self._inspection is None:
            self._inspection = self._begin(Inspect())
        return self._inspection

    def _on_frame(self, frame: wire.Up) -> None:
        if isinstance(frame, wire.Note):
            tell(self._sink.note, self.id, frame.level, frame.message)
            return
        if self._error is not None:
            return
        now_s = self._heard_at_s = self._process.heard_at_s
        self._asked_for_life = False
        match frame:
            case wire.Tokens():
                self._meter.begin(now_s)
                for delta in frame.deltas:
                    if request := self._open.get(delta.id):
                        request.box.put(delta)
                        self._meter.take(request.progress, delta.index, delta.n_tokens)
                        if delta.finish is not None:
                            request.finish_reasons[delta.index] = delta.finish
            case wire.Done():
                self._end(frame.id, frame.result)
            case wire.Failed():
                self._end(frame.id, from_info(frame.error))
            case _:
                raise ValueError(f"{type(frame).__name__} after the load")

    def _end(self, id: int, outcome: Result | KoloError) -> None:
        request = self._open.pop(id, None)
        if request is None:
            raise ValueError(f"the end of request {id}, which is not open")
        error = outcome if isinstance(outcome, KoloError) else None
        result = None if isinstance(outcome, KoloError) else outcome
        if error is not None:
            request.box.fail(error)
        elif result is not None:
            if request.ended and isinstance(request.op, Generate):
                request.box.put_ends(id, request.op.n)
            request.box.finish(result)
        if request is self._inspection:
            self._inspection = None
        if request.kind is not None:
            self.in_flight -= 1
            if not self.in_flight:
                self._cores.leave(self)
            self.touch()
            self._report(request, request.kind, result, error)

    def _report(
        self, request: Request, kind: Kind, result: Result | None, error: KoloError | None
    ) -> None:
        wall_s = self._loop.time() - request.progress.submitted_s
        self._mean_wall_s += _SMOOTHING * (wall_s - self._mean_wall_s)
        if not self.in_flight:
            self.tell_emitted()  # no further frame will
        request.account.charge(tokens_of(result, request.progress))
        progress = request.progress
        finished = Finished(
            request=request.id,
            kind=kind,
            result=result,
            error=error,
            cancelled=request.cancelled,
            wall_ms=wall_s * 1000,
            user=request.user,
            client=request.client,
            ttft_ms=progress.ttft_ms,
            decode_ms=progress.decode_ms,
            asked=request.op,
            finish_reasons=tuple(reason for _, reason in sorted(request.finish_reasons.items())),
            trace=request.trace,
        )
        tell(self._sink.finished, self.id, finished)

    def _on_end(self) -> None:
        """The worker is gone: nothing unusual when it was told to go, else a crash."""
        if self._error is None:
            self.state = "crashed"
            error = EngineCrashed(
                f"engine {self.id!r} crashed: the worker {self._process.exit_text()}",
                hint="Send the request again: the engine restarts by itself.\n"
                + self._process.post_mortem(),
            )
            self._close(error)
            self._on_crash(self, error)

    def _close(self, error: KoloError) -> None:
        self._error = error
        if self._watch is not None:
            self._watch.cancel()
        for id in list(self._open):
            self._end(id, error)
        self._cores.forget(self)

    # A worker that hangs ------------------------------------------------------------------

    def _watch_silence(self) -> None:
        if self._watch is None and self._open and self._error is None:
            due_s = max(self._heard_at_s + self._silence_s, self._loop.time())
            self._watch = self._loop.call_at(due_s, self._silent)

    def _silent(self) -> None:
        self._watch = None
        now_s = self._loop.time()
        if self._open and now_s - self._heard_at_s >= self._silence_s:
            if self._asked_for_life:
                silence_s = now_s - self._heard_at_s
                self._process.kill(f"hung: it did not answer for {silence_s:.0f} s")
                return
            self._asked_for_life = True
            self._watch = self._loop.call_later(self._silence_s, self._silent)
            with suppress(Busy):  # too far behind to be asked: the silence goes on counting
                self._inspect()
        else:
            self._watch_silence()


def _retry_after_s(mean_wall_s: float, parallel: int) -> float:
    """When the next of ``parallel`` requests should end and leave its place."""
    return min(max(round(mean_wall_s / parallel), 1.0), 60.0)
