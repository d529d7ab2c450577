"""What an engine has done since it was loaded, and what each of its slots is doing."""

from __future__ import annotations

import time
from collections.abc import Mapping

from kolo.engine.choice import Choice
from kolo.engine.job import Job
from kolo.engine.prefix import PrefixCache
from kolo.engine.scheduler import Scheduler, Sequence
from kolo.stats import EngineStats, SlotStats

Owners = Mapping[Sequence, tuple[Job, Choice]]


class Counts:
    """Counters since load; times in seconds."""

    steps = 0
    decode_calls = 0
    prefill_tokens = 0
    cached_tokens = 0
    generated_tokens = 0
    padding_rows = 0
    draft_tokens = 0
    draft_accepted = 0
    backend_s = 0.0
    python_s = 0.0

    def close_step(self, started: float, backend_before_s: float) -> None:
        self.steps += 1
        whole = time.perf_counter() - started
        self.python_s += whole - (self.backend_s - backend_before_s)

    def report(
        self, scheduler: Scheduler, cache: PrefixCache, owners: Owners, *, n_ctx: int
    ) -> EngineStats:
        """Everything that ``Inspect`` is answered with."""
        busy = {s.slot.id: s for s in scheduler.running if s.slot is not None}
        return EngineStats(
            slots=[
                _slot_stats(slot.id, len(slot.tokens), busy.get(slot.id), owners)
                for slot in cache.slots
            ],
            waiting=scheduler.waiting,
            running=len(scheduler.running),
            n_ctx=n_ctx,
            steps=self.steps,
            decode_calls=self.decode_calls,
            prefill_tokens=self.prefill_tokens,
            cached_tokens=self.cached_tokens,
            generated_tokens=self.generated_tokens,
            padding_rows=self.padding_rows,
            copies=cache.counters.copies,
            spills=cache.counters.spills,
            restores=cache.counters.restores,
            preemptions=scheduler.preemptions,
            draft_tokens=self.draft_tokens,
            draft_accepted=self.draft_accepted,
            store_bytes=cache.store.used_bytes,
            store_entries=len(cache.store),
            saved_bytes=cache.saved.n_bytes if cache.saved is not None else 0,
            saved_entries=len(cache.saved.entries) if cache.saved is not None else 0,
            python_us=self.python_s * 1e6,
            backend_us=self.backend_s * 1e6,
        )


def _slot_stats(
    slot_id: int, n_cached: int, sequence: Sequence | None, owners: Owners
) -> SlotStats:
    if sequence is None:
        return SlotStats(id=slot_id, state="idle", cached_tokens=n_cached)
    job, choice = owners[sequence]
    return SlotStats(
        id=slot_id,
        state="decode" if choice.n_generated else "prefill",
        request=job.id,
        cached_tokens=n_cached,
        prompt_tokens=job.n_prompt,
        prompt_done=min(n_cached, job.n_prompt),
        prompt_cached=sequence.n_cached,
        generated_tokens=choice.n_generated,
        left_tokens=choice.n_left,
        has_new_line=choice.has_new_line(),
    )
