"""Measure, once at load, what a decode of each width costs on this machine with this model.

The result decides padding and thread counts. Widths between the measured ones are taken on the
straight line between their neighbours. The whole takes little more than ``BUDGET_MS``: a model too
slow for that is dominated by its weights, and the first widths tell most.
"""

from __future__ import annotations

import time

from kolo.engine.backend import OK, Backend
from kolo.engine.layout import Costs, flat
from kolo.engine.pace import ChunkCost

BUDGET_MS = 2500.0
_PROBES = (1, 8, 4, 2, 16, 12, 6, 32, 3, 24, 7, 5, 15, 20, 28, 23, 31, 64, 48)
"""Most telling first: the powers of two, then the widths that kernels are known to dislike."""
_GUESSED_ROWS = 16
"""A single sequence has as many rows when its next tokens are guessed."""
_ROUNDS = 2
_ENOUGH_MS = 4.0
"""A width is timed at least ``_ROUNDS`` times and for this long: fast models are noisy."""
_GAIN = 0.9
"""Another thread count must be this much faster before it is believed."""
_SHORT_STEP_MS = 3.0
"""Only in steps this short can threads cost more than they bring; beyond, one seeming faster
says that the machine was disturbed."""
_CHUNKS = (32, 128)
_LONGEST_CHUNK_MS = 1000.0


def calibrate(backend: Backend) -> tuple[Costs, ChunkCost]:
    """Costs by width, and of a prefill chunk.

    Leaves every slot empty. A backend that cannot take tokens back is not calibrated: its dummy
    rows could not be undone either.
    """
    most = backend.thread_choices[-1]
    backend.set_threads(backend.n_threads_batch)
    chunk_cost = _chunk_cost(backend)
    if not backend.can_trim:
        return flat(most), chunk_cost
    deadline = time.perf_counter() + BUDGET_MS / 1000
    measured: dict[int, tuple[float, int]] = {}
    choices = backend.thread_choices
    guessed = min(_GUESSED_ROWS, backend.max_outputs, backend.n_batch, backend.n_ctx - 1)
    widest = max(backend.n_slots, guessed)
    for width in dict.fromkeys((*(w for w in _PROBES if w <= widest), widest)):
        if measured and time.perf_counter() > deadline:
            break
        narrower = measured.get(width // 2, (0.0, choices[0]))[1]
        # Fewer threads pay for the narrowest batches if at all.
        few = choices if narrower < most or len(choices) == 1 else (most,)
        measured[width] = _best(backend, width, few)
    for slot in range(backend.n_slots):
        backend.trim(slot, 0)
    backend.set_threads(most)
    return _interpolate(measured, widest), chunk_cost


def _chunk_cost(backend: Backend) -> ChunkCost:
    """Also the warm-up: the first pass touches the weights and builds the graphs.

    A straight line through a short chunk and a longer one; only the short one, if the longer
    would take too long.
    """
    short, long = (min(n, backend.n_batch, backend.n_ctx - 1) for n in _CHUNKS)
    _time_chunk(backend, short)
    short_ms = _time_chunk(backend, short)
    if long < 2 * short or short_ms * long / short > _LONGEST_CHUNK_MS:
        return ChunkCost(0.0, short_ms / short)
    long_ms = _time_chunk(backend, long)
    per_token = max((long_ms - short_ms) / (long - short), 0.5 * long_ms / long)
    return ChunkCost(max(0.0, long_ms - long * per_token), per_token)


def _time_chunk(backend: Backend, count: int) -> float:
    started = time.perf_counter()
    _decode(backend, list(range(count)), [0] * count, [0] * (count - 1) + [1])
    elapsed_ms = (time.perf_counter() - started) * 1000
    backend.trim(0, 0)
    return elapsed_ms


def _best(backend: Backend, width: int, thread_choices: tuple[int, ...]) -> tuple[float, int]:
    """Fastest observed time of one decode of ``width`` rows, and the threads it took."""
    found: tuple[float, int] | None = None
    for n_threads in reversed(thread_choices):
        if found is not None and found[0] > _SHORT_STEP_MS:
            break
        backend.set_threads(n_threads)
        cost = _fastest(backend, width)
        if found is None or cost < found[0] * _GAIN:
            found = (cost, n_threads)
    assert found is not None
    return found


def _fastest(backend: Backend, width: int) -> float:
    times = [_time(backend, width) for _ in range(_ROUNDS)]
    while sum(times) < _ENOUGH_MS:
        times.append(_time(backend, width))
    return min(times)


def _time(backend: Backend, width: int) -> float:
    """A row for each slot; of a batch wider than there are slots, all in one."""
    n_slots = backend.n_slots
    slots = list(range(width)) if width <= n_slots else [0] * width
    positions = [0] * width if width <= n_slots else list(range(width))
    started = time.perf_counter()
    _decode(backend, positions, slots, [1] * width)
    elapsed_ms = (time.perf_counter() - started) * 1000
    for slot in set(slots):
        backend.trim(slot, 0)
    return elapsed_ms


def _decode(backend: Backend, positions: list[int], slots: list[int], wanted: list[int]) -> None:
    status = backend.decode([1] * len(positions), positions, slots, wanted)
    assert status == OK, "an empty context has room for a calibration batch"


def _interpolate(measured: dict[int, tuple[float, int]], widest: int) -> Costs:
    known = sorted(measured)
    costs: list[float] = []
    threads: list[int] = []
    for width in range(1, widest + 1):
        below = max((w for w in known if w <= width), default=known[0])
        above = min((w for w in known if w >= width), default=known[-1])
        share = (width - below) / (above - below) if above > below else 0.0
        cost = measured[below][0] + share * (measured[above][0] - measured[below][0])
        if width > known[-1]:
            # Beyond what was measured every row is taken to cost the same: no padding there.
            cost = measured[known[-1]][0] * width / known[-1]
        costs.append(cost)
        threads.append(measured[below][1])
    return Costs(tuple(costs), tuple(threads))
