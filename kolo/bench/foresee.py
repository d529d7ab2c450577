"""Measuring what this machine would do with a model, before the model is there.

A file of the same shape with random weights is loaded into a worker and timed (``probe``): how
long prompts take, how fast one user and several read their answers, how many fit into memory.
The engine alone is measured; HTTP adds what ``kolo bench MODEL --engine`` shows as overhead.
"""

from __future__ import annotations

import time
from importlib.metadata import version
from pathlib import Path
from statistics import median

from msgspec import Struct
from msgspec.structs import replace

from kolo.bench.host import cpu_name
from kolo.bench.layers import Tell
from kolo.bench.outlook import DEPTH, USER_CTX, Outlook, Reading, Writing
from kolo.bench.probe import loaded, question, repeat, title
from kolo.bench.result import EngineCell
from kolo.bench.shapes import Wanted, written
from kolo.config import Settings
from kolo.errors import OutOfMemory
from kolo.manager.engine import Engine
from kolo.manager.machine import available, gpu_present, physical_cores
from kolo.manager.memory import check_fit, estimate
from kolo.models.header import Header
from kolo.types import LoadParams, ModelInfo

PROMPTS = (128, 512, 2048, 8192)
"""Tokens."""
WIDTHS = (1, 2, 4, 8, 16, 32)
_REPETITIONS = 3
_ENOUGH_S = 8.0
"""What took so long altogether is not repeated once more."""
_LONGEST_PROMPT_MS = 20_000.0
"""Longer ones than take this are left out, but for the two shortest."""
_DECODE_MS = 2_000.0
_MOST_STEPS, _FEWEST_STEPS = 32, 4
_SPARE_TOKENS = 64


async def foresee(wanted: Wanted, settings: Settings, tell: Tell, *, keep: bool = False) -> Outlook:
    """Make the model, time it, and remove it again unless ``keep``.

    Of ``settings.engine`` all counts but ``ctx`` and ``parallel``, and what is made for other
    models: drafts and adapters. Raises
    OutOfMemory before anything is written if the machine cannot hold it, and LoadFailed if the
    disk cannot.
    """
    engine = replace(
        settings.engine, ctx=None, parallel=None, speculation="off", draft_model=None, lora=[]
    )
    settings = replace(settings, engine=engine)
    header = wanted.header()
    widest, longest = _what_fits(header, engine)
    async with written(wanted, tell, keep=keep) as path:
        cells = await _time(path, settings, tell, widest, longest)
    return _outlook(wanted, header, engine, cells)


def _what_fits(header: Header, params: LoadParams) -> tuple[int, int]:
    """The most of WIDTHS and of PROMPTS that memory has room for.

    Raises OutOfMemory if the least of them have not; where there is a GPU the load will tell.
    """
    trained = [n_tokens for n_tokens in PROMPTS if n_tokens <= header.n_ctx_train] or PROMPTS[:1]
    if gpu_present():
        return WIDTHS[-1], trained[-1]
    machine = available()

    def fits(ctx: int, parallel: int) -> bool:
        try:
            check_fit(header, replace(params, ctx=ctx, parallel=parallel), machine.available_bytes)
        except OutOfMemory:
            return False
        return True

    least = replace(params, ctx=PROMPTS[0] + _SPARE_TOKENS, parallel=1)
    check_fit(header, least, machine.available_bytes, machine.limit)
    widths = [width for width in WIDTHS if fits(DEPTH + 2 * _SPARE_TOKENS, width)]
    prompts = [n_tokens for n_tokens in trained if fits(n_tokens + _SPARE_TOKENS, 1)]
    return max(widths, default=1), max(prompts, default=PROMPTS[0])


class _Cells(Struct):
    reading: list[EngineCell]
    writing: list[EngineCell]
    info: ModelInfo


async def _time(path: Path, settings: Settings, tell: Tell, widest: int, longest: int) -> _Cells:
    """Long prompts in a context for one, then several users in shorter ones."""
    tell("loading")
    async with loaded(settings, str(path), ctx=longest + _SPARE_TOKENS, parallel=1) as engine:
        lengths = [n_tokens for n_tokens in PROMPTS if n_tokens <= longest]
        reading = await _read(engine, lengths, tell)
    tell("loading")
    ctx = DEPTH + 2 * _SPARE_TOKENS
    async with loaded(settings, str(path), ctx=ctx, parallel=widest) as engine:
        writing = await _write(engine, [width for width in WIDTHS if width <= widest], tell)
    return _Cells(reading, writing, engine.info)


async def _read(engine: Engine, lengths: list[int], tell: Tell) -> list[EngineCell]:
    """From the shortest on, as long as it does not take too long."""
    cells: list[EngineCell] = []
    for n_tokens in lengths:
        cell = EngineCell(target="engine", kind="prefill", prompt_tokens=n_tokens)
        if not cells:
            await engine.call(question(cell, seed=0))  # warm up
        elif len(cells) > 1 and n_tokens * 1000 / _rate(cells[-1]) > _LONGEST_PROMPT_MS:
            break
        await _repeat(engine, cell, tell)
        cells.append(cell)
    return cells


async def _write(engine: Engine, widths: list[int], tell: Tell) -> list[EngineCell]:
    """Each width for a few steps: fewer the slower the model is."""
    cells: list[EngineCell] = []
    step_ms = 0.0
    for width in widths:
        cell = EngineCell(target="engine", kind="decode", width=width, depth=DEPTH)
        if not cells:
            first = await engine.call(question(cell, seed=0, n_output=2))  # warm up
            step_ms = median(first.step_ms)
        cell.output_tokens = int(min(max(_DECODE_MS / step_ms, _FEWEST_STEPS), _MOST_STEPS))
        await _repeat(engine, cell, tell)
        step_ms = width * 1000 / _rate(cell)
        cells.append(cell)
    return cells


async def _repeat(engine: Engine, cell: EngineCell, tell: Tell) -> None:
    began_s = time.monotonic()
    for repetition in range(_REPETITIONS):
        tell(f"{title(cell)}, {repetition + 1}/{_REPETITIONS}")
        await repeat(engine, cell, seed=repetition + 1)
        if time.monotonic() - began_s > _ENOUGH_S:
            return


def _rate(cell: EngineCell) -> float:
    """Tokens per second."""
    return float(median(cell.tokens_per_s))


def _outlook(wanted: Wanted, header: Header, params: LoadParams, cells: _Cells) -> Outlook:
    one, two = (
        estimate(header, replace(params, ctx=USER_CTX, parallel=parallel)) for parallel in (1, 2)
    )
    shape = wanted.result()
    info = cells.info
    return Outlook(
        name=wanted.name,
        quant=wanted.quant,
        dimensions=wanted.dimensions,
        n_params=shape.n_params,
        size_bytes=shape.size_bytes,
        when=time.time(),
        cpu=cpu_name(),
        cores=physical_cores(),
        devices=info.devices,
        memory_bytes=available().total_bytes,
        llama_cpp=version("llama-cpp-python"),
        settings=params,
        threads=info.threads,
        gpu_layers=info.gpu_layers,
        reading=[
            Reading(cell.prompt_tokens, cell.prompt_tokens * 1000 / _rate(cell), _rate(cell))
            for cell in cells.reading
        ],
        writing=[Writing(cell.width, _rate(cell)) for cell in cells.writing],
        weights_bytes=one.weights_bytes + one.device_bytes,
        resident_bytes=max(cell.memory_bytes or 0 for cell in (*cells.reading, *cells.writing)),
        kv_bytes_per_token=one.kv_bytes // USER_CTX,
        fixed_bytes=2 * one.total_bytes - two.total_bytes,
    )
