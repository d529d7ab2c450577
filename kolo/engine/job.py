"""A request while the worker has it: its choices, its deadline, its times."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from kolo.engine.choice import Choice
from kolo.types import Generated, Timings, Usage

if TYPE_CHECKING:
    from kolo.engine.loop import Loop


class Alone(Protocol):
    """Work that takes the context for itself, and gives it back empty."""

    def run(self, loop: Loop) -> None: ...


@dataclass(slots=True, eq=False)
class Job:
    """Times are of ``time.perf_counter``, in seconds."""

    id: int
    choices: list[Choice]
    n_prompt: int
    seed: int
    arrived_s: float
    deadline_s: float | None = None
    wants_prompt_logprobs: bool = False
    started_s: float | None = None
    first_s: float | None = None
    last_s: float | None = None
    open: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.open = {choice.index for choice in self.choices}

    def result(self) -> Generated:
        """What is known at the end, or at the moment of a cancel."""
        end = time.perf_counter()
        started = self.started_s or end
        first = self.first_s or end
        last = self.last_s or first
        choices = self.choices
        return Generated(
            usage=Usage(
                prompt_tokens=self.n_prompt,
                cached_tokens=choices[0].sequence.n_cached,
                completion_tokens=sum(choice.n_generated for choice in choices),
                reasoning_tokens=sum(choice.n_reasoning for choice in choices),
            ),
            timings=Timings(
                queue_ms=(started - self.arrived_s) * 1000,
                prefill_ms=(first - started) * 1000,
                ttft_ms=(first - self.arrived_s) * 1000,
                decode_ms=(last - first) * 1000,
                draft_tokens=sum(choice.n_guessed for choice in choices),
                draft_accepted=sum(choice.n_guessed_right for choice in choices),
            ),
            seed=self.seed,
            prompt_logprobs=choices[0].prompt_logprobs if self.wants_prompt_logprobs else None,
        )
