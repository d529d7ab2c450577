"""The engine's loop: take in, schedule, decode, sample, emit.

Runs on the one thread that owns the context. It blocks only when there is nothing to do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import suppress
from queue import Empty, SimpleQueue

from kolo import wire
from kolo.engine.backend import NO_ROOM, Backend, Logits
from kolo.engine.choice import Choice
from kolo.engine.counts import Counts
from kolo.engine.farewell import Farewell
from kolo.engine.job import Alone, Job
from kolo.engine.layout import Costs, Layout
from kolo.engine.outbox import Outbox
from kolo.engine.pace import ChunkCost, PrefillPace
from kolo.engine.pooling import PooledJob
from kolo.engine.prefix import PrefixCache, Slot, free_share
from kolo.engine.saved import SavedPrefixes
from kolo.engine.scheduler import Decode, Prefill, Scheduler, Sequence
from kolo.engine.speculation import DraftModel, Guesses, Speculation
from kolo.errors import (
    DeadlineExceeded,
    EngineStopped,
    InternalError,
    KoloError,
    LoadFailed,
    internal,
)
from kolo.stats import EngineStats
from kolo.types import Delta, Generated, LoadParams

GATHER_S = 0.02
"""How long a first request may wait, at most, for those that have come with it."""
LOOK_S = 0.0005
"""Between two looks at whether they are there."""

Item = Job | PooledJob | wire.Cancel | wire.Cores | wire.Submit | Alone | Farewell
Send = Callable[..., None]
Rows = list[int] | tuple[int, ...]


class Loop:
    def __init__(
        self,
        backend: Backend,
        params: LoadParams,
        costs: Costs,
        chunk_cost: ChunkCost,
        send: Send,
        inbox: SimpleQueue[Item],
        draft: DraftModel | None = None,
        saved: SavedPrefixes | None = None,
        arriving: Callable[[], bool] = lambda: False,
    ) -> None:
        self.inbox = inbox
        self._arriving = arriving
        self.layout = Layout(backend.n_slots, costs, unified=backend.unified)
        self._backend = backend
        self.out = Outbox(send)
        store_bytes = params.cache_store_bytes
        store_bytes = free_share() if store_bytes is None else store_bytes
        pace = PrefillPace(params.prefill_budget_ms, chunk_cost, backend.n_batch, costs.of)
        self._cache = PrefixCache(backend, store_bytes, saved, lambda: pace.ms_per_token)
        if params.speculation == "always" and not backend.can_trim:
            raise LoadFailed(
                "guesses cannot be taken back from a recurrent model",
                hint="Leave speculation on auto, or set it to off.",
                param="speculation",
            )
        mode = params.speculation if backend.can_trim else "off"
        limit = min(backend.max_outputs, backend.n_batch)
        self._speculation = Speculation(mode, costs, limit, unified=backend.unified, draft=draft)
        self._scheduler = Scheduler(self._cache, pace, backend.max_outputs)
        self._jobs: dict[int, Job] = {}
        self._timed: set[Job] = set()
        self._owners: dict[Sequence, tuple[Job, Choice]] = {}
        self._pooled: list[PooledJob] = []
        self._pooled_turns: dict[str, int] = {}
        self._n_threads_batch = backend.n_threads_batch
        self._most_threads = max(self._n_threads_batch, *backend.thread_choices)
        self._counts = Counts()
        self._leaving = False
        self._begun = False  # in this step a choice had its first token
        self._ones = [1] * backend.n_slots

    def run(self) -> None:
        """Until a Farewell has come."""
        while True:
            self._take_in()
            if self._leaving:
                return
            self.step()

    def step(self) -> None:
        """Compute the next batch, if there is one."""
        started = time.perf_counter()
        spent_before = self._counts.backend_s
        step = self._scheduler.plan()
        for sequence in self._scheduler.admitted:
            job = self._owners[sequence][0]
            job.started_s = job.started_s or started
        if not isinstance(step, Decode) or self._pooled:
            self.out.flush()
        if step is not None:
            self._begun = False
            self._emit(self._advance(step))
            self._counts.close_step(started, spent_before)
        if self._pooled:
            self._advance_pooled()
        self._expire()

    @property
    def idle(self) -> bool:
        return self._scheduler.idle and not self._pooled

    def forget(self) -> None:
        """Give up all that is cached."""
        self._cache.clear()

    # Take in ------------------------------------------------------------------------------

    def _take_in(self) -> None:
        """All that has arrived; waits when there is nothing else to do."""
        if self.idle:
            self.take(self.inbox.get())
            self._take_in_company()
        try:
            while True:
                self.take(self.inbox.get_nowait())
        except Empty:
            return

    def _take_in_company(self) -> None:
        """What came with the first and is not prepared yet: its answers would wait for the others'
        prompts as soon as they had begun."""
        until_s = time.perf_counter() + GATHER_S
        while self._arriving() and time.perf_counter() < until_s:
            with suppress(Empty):
                self.take(self.inbox.get(timeout=LOOK_S))

    def take(self, item: Item) -> None:
        match item:
            case Job():
                self._jobs[item.id] = item
                if item.deadline_s is not None:
                    self._timed.add(item)
                for choice in item.choices:
                    self._owners[choice.sequence] = (item, choice)
                    self._scheduler.add(choice.sequence)
            case PooledJob():
                if not self._pooled:
                    self._pooled_turns.clear()
                self._pooled.append(item)
            case wire.Cancel():
                self._cancel(item.id)
            case wire.Cores():
                self._most_threads = item.n
            case wire.Submit():
                self.out.send(wire.Done(item.id, self.stats()))
            case Farewell():
                self._leaving = True
                self.out.send(*item.save(self._cache))
            case _:
                item.run(self)

    def _cancel(self, request_id: int) -> None:
        job = self._jobs.get(request_id)
        if job is not None:
            self.out.send(wire.Done(request_id, self._close(job)))
        for pooled in [job for job in self._pooled if job.id == request_id]:
            self._pooled.remove(pooled)
            stopped = EngineStopped("the request was cancelled", hint="send it again")
            self.out.send(wire.Failed(request_id, stopped.info()))

    def _expire(self) -> None:
        if not self._timed:
            return
        now = time.perf_counter()
        for job in [job for job in self._timed if job.deadline_s and now > job.deadline_s]:
            self._fail(
                job,
                DeadlineExceeded(
                    f"the request's deadline passed after {now - job.arrived_s:.1f} s",
                    hint="allow more time, ask for fewer tokens, or use a faster model",
                ),
            )

    # Schedule, decode, sample -------------------------------------------------------------

    def _advance(self, step: Decode | Prefill) -> list[Delta]:
        """Compute one batch and draw a token for every sequence that is due one."""
        try:
            if isinstance(step, Decode):
                return self._advance_decode(step)
            return self._advance_prefill(step)
        except _NoRoomError:
            self._make_room(step)
            return []

    def _advance_decode(self, step: Decode) -> list[Delta]:
        if self._speculation.active:
            guesses = self._speculation.guesses(step.sequences, self._room)
            if guesses:
                return self._advance_guessed(step, guesses)
        sequences = {s.slot.id: s for s in step.sequences if s.slot is not None}
        rows = self.layout.rows(tuple(sequences), self._can_pad)
        slots = self._cache.slots
        tokens = [sequences[row].tokens[-1] if row in sequences else 1 for row in rows]
        positions = [len(slots[row].tokens) for row in rows]
        self._backend.set_threads(min(self.layout.threads(len(rows)), self._most_threads))
        elapsed_s = self._decode(tokens, positions, rows, self._ones[: len(rows)])
        self._scheduler.pace.decoded(elapsed_s * 1000)
        if self._speculation.active:
            self._speculation.timed_plain(len(rows), elapsed_s * 1000)
        padding = [row for row in rows if row not in sequences]
        for row in padding:
            self._backend.trim(row, len(slots[row].tokens))
        self._counts.padding_rows += len(padding)
        self._scheduler.advance(step)
        logits = self._backend.logits(len(rows))
        deltas: list[Delta] = []
        for at, row in enumerate(rows):
            sequence = sequences.get(row)
            if sequence is not None:
                self._draw(sequence, logits[at], deltas)
        return deltas

    def _advance_guessed(self, step: Decode, guesses: Guesses) -> list[Delta]:
        """Several tokens of a sequence at once: its next one, and guesses at those after it."""
        tokens: list[int] = []
        positions: list[int] = []
        rows: list[int] = []
        slots: list[Slot] = []
        for sequence in step.sequences:
            slot = sequence.slot
            assert slot is not None
            done = len(slot.tokens)
            guess = guesses.get(sequence, ())
            tokens += (sequence.tokens[-1], *guess)
            positions += range(done, done + 1 + len(guess))
            rows += [slot.id] * (1 + len(guess))
            slots.append(slot)
        self._backend.set_threads(min(self._n_threads_batch, self._most_threads))
        elapsed_s = self._decode(tokens, positions, rows, [1] * len(rows))
        self._scheduler.pace.decoded(elapsed_s * 1000)
        self._speculation.timed_guesses(len(step.sequences), guesses, elapsed_s * 1000)
        self._scheduler.advance(step)
        logits = self._backend.logits(len(rows))
        deltas: list[Delta] = []
        at = 0
        for sequence, slot in zip(step.sequences, slots, strict=True):
            guess = guesses.get(sequence, ())
            if sequence in self._owners:
                self._draw_guessed(sequence, guess, logits[at : at + 1 + len(guess)], deltas)
            else:  # it ended with another answer of its request, and left its guess in the KV
                self._backend.trim(slot.id, len(slot.tokens))
            at += 1 + len(guess)
        return deltas

    def _draw_guessed(
        self, sequence: Sequence, guess: Collection[int], logits: Logits, deltas: list[Delta]
    ) -> None:
        """Draw as long as what is drawn is what was guessed, then take back the rest."""
        choice, slot = self._owners[sequence][1], sequence.slot
        assert slot is not None
        self._draw(sequence, logits[0], deltas)
        n_right = 0
        for guessed, row in zip(guess, logits[1:], strict=True):
            if sequence not in self._owners or choice.finish or sequence.tokens[-1] != guessed:
                break
            n_right += 1
            slot.tokens.append(guessed)
            self._draw(sequence, row, deltas)
        if n_right < len(guess):
            self._backend.trim(slot.id, len(slot.tokens))
        if guess:
            self._speculation.judge(len(guess), n_right)
        choice.n_guessed += len(guess)
        choice.n_guessed_right += n_right
        self._counts.draft_tokens += len(guess)
        self._counts.draft_accepted += n_right

    def _advance_prefill(self, step: Prefill) -> list[Delta]:
        tokens: list[int] = []
        positions: list[int] = []
        rows: list[int] = []
        wanted: list[int] = []
        for sequence, count in step.parts:
            slot = sequence.slot
            assert slot is not None
            done = len(slot.tokens)
            tokens += sequence.tokens[done : done + count]
            positions += range(done, done + count)
            rows += [slot.id] * count
            last = 1 if count == sequence.remaining else 0
            wanted += [1] * count if sequence.all_logits else [0] * (count - 1) + [last]
        self._backend.set_threads(min(self._n_threads_batch, self._most_threads))
        elapsed_ms = self._decode(tokens, positions, rows, wanted) * 1000
        self._scheduler.observe(len(tokens), elapsed_ms)
        self._counts.prefill_tokens += len(tokens)
        self._scheduler.advance(step)
        return self._draw_prefilled(step, sum(wanted))

    def _draw_prefilled(self, step: Prefill, n_rows: int) -> list[Delta]:
        deltas: list[Delta] = []
        if not n_rows:
            return deltas
        logits = self._backend.logits(n_rows)
        at = 0
        for sequence, count in step.parts:
            if sequence.all_logits:
                slot = sequence.slot
                assert slot is not None
                choice = self._owners[sequence][1]
                choice.advance_prompt(logits[at : at + count], len(slot.tokens) - count)
                at += count
                if not sequence.remaining:
                    sequence.all_logits = False
                    self._draw(sequence, logits[at - 1], deltas)
            elif not sequence.remaining:
                self._draw(sequence, logits[at], deltas)
                at += 1
        return deltas

    def _draw(self, sequence: Sequence, row: Logits, deltas: list[Delta]) -> None:
        owner = self._owners.get(sequence)
        if owner is None:  # another answer of its request has failed in this step
            return
        job, choice = owner
        now = time.perf_counter()
        self._begun = self._begun or not choice.n_generated
        job.first_s = job.first_s or now
        job.last_s = now
        try:
            delta = choice.advance(row)
        except Exception as error:  # one answer's defect must not end the others
            self._fail(job, error if isinstance(error, KoloError) else internal(error))
            return
        self._counts.generated_tokens += 1
        if delta is not None:
            deltas.append(delta)

    def _decode(
        self, tokens: list[int], positions: list[int], rows: Rows, wanted: list[int]
    ) -> float:
        """One batch through the backend; returns seconds. Raises _NoRoomError."""
        started = time.perf_counter()
        status = self._backend.decode(tokens, positions, rows, wanted)
        elapsed = time.perf_counter() - started
        self._counts.backend_s += elapsed
        self._counts.decode_calls += 1
        if status == NO_ROOM:
            raise _NoRoomError
        return elapsed

    def _can_pad(self, slot_id: int) -> bool:
        return len(self._cache.slots[slot_id].tokens) < self._backend.n_ctx

    def _room(self, sequence: Sequence) -> int:
        """Tokens more than one that a decoding sequence may gain."""
        assert sequence.slot is not None
        in_context = self._backend.n_ctx - len(sequence.slot.tokens)
        # A request for no tokens at all, whose prompt was cached, decodes with none left.
        return max(min(in_context, self._owners[sequence][1].n_left) - 1, 0)

    def _make_room(self, step: Decode | Prefill) -> None:
        if self._scheduler.make_room():
            return
        sequences = step.sequences if isinstance(step, Decode) else [part[0] for part in step.parts]
        for sequence in sequences:
            if sequence in self._owners:
                self._fail(
                    self._owners[sequence][0],
                    InternalError(
                        "the KV cache has no room for a single sequence",
                        hint="load the model again, with a larger ctx or without kv_unified",
                    ),
                )

    # Emit ---------------------------------------------------------------------------------

    def _emit(self, deltas: list[Delta]) -> None:
        """Say what each choice gained."""
        if not deltas:
            return
        over: list[wire.Done] = []
        for delta in deltas:
            if delta.finish is None:
                continue
            job = self._jobs.get(delta.id)
            if job is None:
                continue
            self._end_choice(job, job.choices[delta.index])
            if not job.open:
                over.append(wire.Done(job.id, self._close(job)))
        self.out.put(deltas, over, at_once=self._begun)

    def _end_choice(self, job: Job, choice: Choice) -> None:
        job.open.discard(choice.index)
        self._scheduler.remove(choice.sequence)
        self._owners.pop(choice.sequence, None)
        self._speculation.forget(choice.sequence)
        choice.close()

    def _close(self, job: Job) -> Generated:
        """The request is over for whatever reason; what is known of it at this moment."""
        for choice in job.choices:
            if choice.index in job.open:
                self._end_choice(job, choice)
        self._jobs.pop(job.id, None)
        self._timed.discard(job)
        self._counts.cached_tokens += sum(c.sequence.n_cached for c in job.choices)
        return job.result()

    def _fail(self, job: Job, error: KoloError) -> None:
        self._close(job)
        self.out.send(wire.Failed(job.id, error.info()))

    # Beside generation --------------------------------------------------------------------

    def _advance_pooled(self) -> None:
        turns = self._pooled_turns
        job = min(self._pooled, key=lambda waiting: turns.get(waiting.share, 0))
        self._pooled.remove(job)
        turns[job.share] = max(turns.values(), default=0) + 1
        try:
            result = job.advance(self._backend)
        except Exception as error:  # likewise: this request fails, the others go on
            known = error if isinstance(error, KoloError) else internal(error)
            self.out.send(wire.Failed(job.id, known.info()))
            return
        if result is None:
            self._pooled.append(job)
        else:
            self.out.send(wire.Done(job.id, result))

    def stats(self) -> EngineStats:
        return self._counts.report(
            self._scheduler, self._cache, self._owners, n_ctx=self._backend.n_ctx
        )


class _NoRoomError(Exception):
    """The KV cache has no room for a batch; nothing of it was applied."""
