"""What the next batch is. Pure Python over plain data: no llama.cpp, no clock, no thread.

A sequence is running once it has a slot. Its KV holds ``len(slot.tokens)`` of its tokens; what
is left decides its part in the next batch: one token left means a decode row, more means
prefill. So a resumed sequence, a fork of an ``n > 1`` request and a full cache hit need no
case of their own.

Policy: first come first served within a share, and among shares whoever has least (``shares``).
A share that has no slot while another has several gets one at once: the newest sequence of that
one is paused, its KV saved, and it goes on when there is a slot for it again.

When both kinds of work exist they take turns, one decode batch and one prefill chunk, the chunk
as long as fits the time budget, so that no stream waits longer than that for another's prompt.
Only streams that have shown no more than their first token wait longer, for the short prompts
that came with theirs: a decode of few rows costs nearly what one of many does, so that all of
them end sooner. A sequence whose prompt is just being computed by another waits for it and then
copies.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from kolo.engine.pace import PrefillPace
from kolo.engine.prefix import PrefixCache, Slot, common_prefix
from kolo.engine.shares import PROMPT_WEIGHT, Share, Shares

HOLD_MS = 10_000.0
"""How long a stream may wait for its second token while prompts that came with it are read."""
SHORT_TOKENS = 512
"""What is left of a prompt that may be waited for."""


@dataclass(slots=True, eq=False)
class Sequence:
    """One choice of one request, as the scheduler sees it."""

    tokens: array[int]
    """Prompt and everything generated; the last one may not be in the KV yet."""
    reuse: bool = True
    """May start from a cached prefix."""
    all_logits: bool = False
    """Every prompt position is wanted, not only the last."""
    first: Sequence | None = None
    """For the further choices of a request, its first one: they share its prompt whatever the
    copy costs, so that n answers cost one prefill."""
    share: str = ""
    """Whose it is."""
    account: Share = field(default_factory=Share)
    slot: Slot | None = None
    n_cached: int = 0
    order: int = 0
    started: bool = False
    n_prompt: int = 0
    held_ms: float = 0.0
    """Others' prefill since its first token, while that is all it has."""
    born: int | None = None
    """How many sequences had arrived when it had its first token."""

    @property
    def newborn(self) -> bool:
        """Whether its first token is all that it has written."""
        return len(self.tokens) == self.n_prompt + 1

    @property
    def remaining(self) -> int:
        return len(self.tokens) - (len(self.slot.tokens) if self.slot else 0)


@dataclass(slots=True)
class Decode:
    """One row for each sequence, ascending by slot."""

    sequences: list[Sequence]


@dataclass(slots=True)
class Prefill:
    """``parts``: sequence and how many of its next tokens, ascending by slot."""

    parts: list[tuple[Sequence, int]] = field(default_factory=list)

    @property
    def n_tokens(self) -> int:
        return sum(count for _, count in self.parts)


Step = Decode | Prefill


class Scheduler:
    def __init__(self, cache: PrefixCache, pace: PrefillPace, max_outputs: int) -> None:
        self.cache = cache
        self.pace = pace
        self._max_outputs = max_outputs
        self._shares = Shares()
        self.running: list[Sequence] = []
        self.admitted: list[Sequence] = []
        """Those that got their first slot in the last plan."""
        self.preemptions = 0
        self._full = False
        self._decoded_last = False
        self._arrivals = 0

    def add(self, sequence: Sequence) -> None:
        sequence.order = self._arrivals
        sequence.n_prompt = len(sequence.tokens)
        self._arrivals += 1
        sequence.account = self._shares.enter(sequence.share, sequence)

    def remove(self, sequence: Sequence) -> None:
        """The sequence is over, whatever the reason; its slot keeps the KV as cache."""
        if sequence.slot is not None:
            self.running.remove(sequence)
            self.cache.release(sequence.slot)
            sequence.slot = None
            sequence.account.running -= 1
            self._full = False
        elif sequence in sequence.account.waiting:
            sequence.account.waiting.remove(sequence)
        else:
            return
        self._shares.left(sequence.account)

    @property
    def waiting(self) -> int:
        """Sequences without a slot."""
        return len(self._shares)

    @property
    def idle(self) -> bool:
        return not self.running and not self.waiting

    def plan(self) -> Step | None:
        """The next batch, or None when there is nothing to do."""
        self.admitted.clear()
        self._admit()
        decode = [s for s in self.running if s.remaining == 1 and not s.all_logits]
        prefill = [s for s in self.running if s.remaining > 1 or s.all_logits]
        hold = bool(prefill) and all(self._may_wait(one, prefill) for one in decode)
        if decode and not hold and not (prefill and self._decoded_last):
            self._decoded_last = True
            return Decode(sorted(decode, key=_by_slot))
        self._decoded_last = False
        return self._chunk(prefill, alone=hold) if prefill else None

    def observe(self, n_tokens: int, elapsed_ms: float) -> None:
        """What a prefill chunk took."""
        self.pace.observe(n_tokens, elapsed_ms)
        for sequence in self.running:
            if sequence.newborn:
                sequence.held_ms += elapsed_ms

    def _may_wait(self, sequence: Sequence, prefill: list[Sequence]) -> bool:
        """Whether its second token can wait until all of ``prefill`` have their first."""
        if not sequence.newborn or sequence.held_ms >= HOLD_MS:
            return False
        if sequence.born is None:
            sequence.born = self._arrivals
        return all(
            other.order < sequence.born and other.remaining <= SHORT_TOKENS for other in prefill
        )

    def advance(self, step: Step) -> None:
        """The batch was computed: its tokens are in the KV now."""
        if isinstance(step, Decode):
            for sequence in step.sequences:
                assert sequence.slot is not None
                sequence.slot.tokens.append(sequence.tokens[-1])
                sequence.account.served += 1.0
            return
        for sequence, count in step.parts:
            assert sequence.slot is not None
            done = len(sequence.slot.tokens)
            sequence.slot.tokens.extend(sequence.tokens[done : done + count])
            sequence.account.served += count * PROMPT_WEIGHT

    def make_room(self) -> bool:
        """The KV cache is full: give up cached prefixes first, then the newest sequence of the
        share that has most.

        False when a single sequence is all there is, so that nothing can be given up.
        """
        if self.cache.evict_idle():
            return True
        if len(self.running) < 2:
            return False
        self._pause(max(self.running, key=lambda s: (s.account.running, s.order)))
        # Who was put back would only be put back again until somebody ends.
        self._full = True
        return True

    def _pause(self, sequence: Sequence) -> None:
        """Take its slot, and put it at the head of its queue."""
        assert sequence.slot is not None
        self.running.remove(sequence)
        self.cache.preempt(sequence.slot)
        sequence.slot = None
        sequence.account.running -= 1
        sequence.account.waiting.appendleft(sequence)
        self.preemptions += 1

    def _admit(self) -> None:
        if self._full and self.running:
            return
        while (head := self._next()) is not None:
            slot = self.cache.place(head.tokens, reuse=head.reuse, share=head.first is not None)
            assert slot is not None
            account = head.account
            account.waiting.popleft()
            account.running += 1
            account.since = account.served
            head.slot = slot
            if not head.started:
                head.started = True
                head.n_cached = len(slot.tokens)
                self.admitted.append(head)
            self.running.append(head)

    def _next(self) -> Sequence | None:
        """Who gets a slot now; there is one then."""
        if self.cache.has_idle():
            for share in self._shares.turns():
                if not self._waits_for_prefix(share.waiting[0]):
                    return share.waiting[0]
            return None
        for share in self._shares.starved():
            head = share.waiting[0]
            giver = self._shares.giver(share)
            given = max(
                (s for s in self.running if s.account is giver and not s.all_logits),
                key=lambda s: s.order,
                default=None,
            )
            if given is None or self._waits_for_prefix(head):
                continue
            # A slot each is due to all. Turns beyond that only while all that is paused is kept: to
            # compute it again would cost more than it shares out.
            if given.account.running > 1 or self._can_keep(given):
                self._pause(given)
                return head
        return None

    def _can_keep(self, sequence: Sequence) -> bool:
        return self.cache.store.has_room(self._shares.paused_tokens() + len(sequence.tokens))

    def _waits_for_prefix(self, head: Sequence) -> bool:
        return head.reuse and self._is_being_computed(head)

    def _is_being_computed(self, head: Sequence) -> bool:
        """Whether a running prefill will soon hold a longer prefix than can be had now."""
        if head.first is not None and head.first.slot is not None and head.first.remaining > 1:
            return True
        limit = len(head.tokens) - 1
        promised = max(
            (
                common_prefix(other.tokens, head.tokens, limit)
                for other in self.running
                if other.remaining > 1
            ),
            default=0,
        )
        # Prompts take turns anyway, so that waiting for the last few of its tokens costs nothing.
        return promised >= self.cache.min_gain and promised > self.cache.best_now(head.tokens)

    def _chunk(self, prefill: list[Sequence], *, alone: bool) -> Prefill:
        step = Prefill()
        prefill = sorted(prefill, key=lambda s: (s.account.served, s.order))
        left = self.pace.chunk(alone=alone)
        if alone and len(prefill) > 1 and prefill[0].remaining <= left:
            left = self._together(prefill) or left
        for sequence in prefill:
            most = self._max_outputs if sequence.all_logits else left
            count = min(sequence.remaining, left, most)
            if not count or (sequence.all_logits and step.parts):
                break
            step.parts.append((sequence, count))
            left -= count
            if sequence.all_logits:
                break
        step.parts.sort(key=lambda part: _by_slot(part[0]))
        return step

    def _together(self, prefill: list[Sequence]) -> int:
        """How many tokens of prompts that came together had better be one chunk: a first token
        that the second follows long after is no use, and makes an answer seem slow. 0 where a
        prompt is long."""
        remaining = [sequence.remaining for sequence in prefill]
        if max(remaining) > SHORT_TOKENS:
            return 0
        return self.pace.together(sum(remaining), len(self.running))


def _by_slot(sequence: Sequence) -> int:
    assert sequence.slot is not None
    return sequence.slot.id
