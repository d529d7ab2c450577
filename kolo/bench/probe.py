"""The layer below HTTP: what the engine does inside its worker, without a server or a client.

A worker of our own is loaded as the HTTP layer's would be and asked to time itself
(``types.Measure``): prompts read, and sequences grown at a depth and a width, over the loop's own
path. Prompts are random tokens, answers are drawn greedily and do not end by themselves.
Repetitions go round over all cells, so that a machine whose speed drifts slows all of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import PurePath

import psutil

from kolo.bench.layers import EngineWork, Tell
from kolo.bench.result import EngineCell
from kolo.config import Settings
from kolo.manager.engine import Engine
from kolo.manager.manager import Manager
from kolo.timing import Measure

_SPARE_TOKENS = 8
"""Beyond what is measured: a step to begin with, one that is being computed, and the next."""


async def measure(work: EngineWork, tell: Tell, done: Callable[[EngineCell], None]) -> None:
    """Time every cell of ``work``; each is handed to ``done`` once, after its last repetition.

    Raises what loading raises, and ContextLengthExceeded when ``settings.engine.ctx`` was chosen
    too small for a depth.
    """
    cells = planned(work)
    ctx = max(cell.prompt_tokens + cell.depth + cell.output_tokens for cell in cells)
    async with loaded(work.settings, work.model, ctx=ctx, parallel=max(work.widths)) as engine:
        for cell in cells:  # pages, caches and clocks warm up; nothing of it is counted
            await engine.call(question(cell, seed=work.seed, n_output=1))
        for repetition in range(work.repetitions):
            for cell in cells:
                tell(f"engine: {title(cell)}, {repetition + 1}/{work.repetitions}")
                await repeat(engine, cell, seed=work.seed + repetition + 1)
    for cell in cells:
        done(cell)


def planned(work: EngineWork) -> list[EngineCell]:
    """The cells, still empty: prefill of each width, then decode of each width and depth."""
    depths = work.depths or (work.prompt_tokens,)
    prefill = [
        EngineCell(
            target=work.target, kind="prefill", width=width, prompt_tokens=work.prompt_tokens
        )
        for width in work.widths
    ]
    decode = [
        EngineCell(
            target=work.target,
            kind="decode",
            width=width,
            depth=depth,
            output_tokens=work.output_tokens,
        )
        for width in work.widths
        for depth in depths
    ]
    return prefill + decode


@asynccontextmanager
async def loaded(
    settings: Settings, model: str, *, ctx: int, parallel: int
) -> AsyncIterator[Engine]:
    """An engine that nobody else uses, gone afterwards.

    It is loaded as ``settings`` say; ``ctx`` and ``parallel`` hold where they leave that open.
    """
    own = settings.engine
    overrides = {"ctx": own.ctx or ctx + _SPARE_TOKENS, "parallel": own.parallel or parallel}
    # Its log is found by its name, which is the same in every run, and its path is not.
    name = PurePath(model).stem if "/" in model else None
    async with Manager(settings) as manager:
        yield await manager.load(model, overrides=overrides, id=name)


async def repeat(engine: Engine, cell: EngineCell, *, seed: int) -> None:
    """One more repetition of ``cell``."""
    measured = await engine.call(question(cell, seed=seed))
    cell.tokens_per_s.append(measured.n_tokens * 1000 / sum(measured.step_ms))
    cell.threads = engine.info.threads
    cell.memory_bytes = max(cell.memory_bytes or 0, psutil.Process(engine.pid).memory_info().rss)


def question(cell: EngineCell, *, seed: int, n_output: int | None = None) -> Measure:
    """What the worker is asked for one repetition of ``cell``."""
    prefill = cell.kind == "prefill"
    return Measure(
        kind=cell.kind,
        width=cell.width,
        n_prompt=max(1, cell.prompt_tokens if prefill else cell.depth),
        n_output=n_output or max(1, cell.output_tokens),
        seed=seed,
    )


def title(cell: EngineCell) -> str:
    """``512 tokens in, 8 wide`` or ``8 wide at depth 512``."""
    if cell.kind == "prefill":
        return f"{cell.prompt_tokens} tokens in, {cell.width} wide"
    return f"{cell.width} wide at depth {cell.depth}"
