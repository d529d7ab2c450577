"""Which slots make up a decode batch, and which idle ones join as padding.

Two facts of llama.cpp decide (measured, see ``bench/``): without a unified cache a batch is
computed as one graph per run of consecutive ascending sequence ids, and the CPU's matrix
kernels run some widths much faster than the widths just below them. So a batch is a set of
runs, each possibly widened with dummy rows on idle slots, chosen to cost the least by the
times measured at load.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

_PAYS = 0.95
"""Differences below this are noise of the measurement."""
_KERNEL_ROWS = 8


@dataclass(frozen=True, slots=True)
class Costs:
    """Milliseconds of one decode by width (index 0 is width 1) and its best thread count."""

    ms: tuple[float, ...]
    threads: tuple[int, ...]

    def of(self, width: int) -> float:
        return self.ms[min(width, len(self.ms)) - 1] * max(1.0, width / len(self.ms))

    def best_width(self, width: int, room: int) -> int:
        """The cheapest width from ``width`` up, with at most ``room`` rows more; they must pay
        clearly. Kernels take rows in eights, so nothing beyond the next eight is believed."""
        room = min(room, -width % _KERNEL_ROWS)
        best = min(range(width, width + room + 1), key=lambda w: (self.of(w), w))
        return best if self.of(best) < _PAYS * self.of(width) else width

    def best_threads(self, width: int) -> int:
        return self.threads[min(width, len(self.threads)) - 1]


def flat(n_threads: int) -> Costs:
    """Costs that never make padding worthwhile: each row costs the same."""
    return Costs((1.0,), (n_threads,))


class Layout:
    """Plans decode batches; remembers its answers, since the active set changes rarely."""

    def __init__(self, n_slots: int, costs: Costs, *, unified: bool) -> None:
        self._n_slots = n_slots
        self._costs = costs
        self._unified = unified
        self._known: dict[tuple[int, ...], tuple[int, ...]] = {}

    def rows(self, active: tuple[int, ...], usable: Callable[[int], bool]) -> tuple[int, ...]:
        """Slot ids of the batch, ascending; those not in ``active`` are padding.

        ``active`` is ascending. ``usable`` says whether an idle slot can take a dummy row.
        """
        planned = self._known.get(active)
        if planned is None:
            if len(self._known) > 4096:
                self._known.clear()
            planned = self._plan_unified(active) if self._unified else self._plan_runs(active)
            self._known[active] = planned
        if len(planned) == len(active):
            return active
        if all(usable(slot) for slot in planned if slot not in active):
            return planned
        return active

    def threads(self, width: int) -> int:
        return self._costs.best_threads(width)

    def pad_widths(self) -> dict[int, int]:
        """Width to the width it is padded to, where that differs."""
        padded = {
            width: self._costs.best_width(width, self._n_slots - width)
            for width in range(1, self._n_slots + 1)
        }
        return {width: wide for width, wide in padded.items() if wide != width}

    def _plan_unified(self, active: tuple[int, ...]) -> tuple[int, ...]:
        idle = [slot for slot in range(self._n_slots) if slot not in active]
        width = self._costs.best_width(len(active), len(idle))
        return tuple(sorted(active + tuple(idle[: width - len(active)])))

    def _plan_runs(self, active: tuple[int, ...]) -> tuple[int, ...]:
        """Dynamic programme: ``best[i]`` is the cheapest cover of the first i active slots."""
        best: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
        for end in range(1, len(active) + 1):
            after = active[end] if end < len(active) else self._n_slots
            options = []
            for start in range(end):
                cost, cover = best[start]
                first, last = active[start], active[end - 1]
                width = last - first + 1
                wide = self._costs.best_width(width, after - last - 1)
                options.append((cost + self._costs.of(wide), (*cover, *range(first, first + wide))))
            best.append(min(options))
        return best[-1][1]
