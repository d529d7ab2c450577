"""What the measuring of an engine alone, and of a model of a known shape, is asked through.

``kolo bench --engine`` calls ``kolo.bench.probe.measure`` and puts its cells into the run;
``kolo bench --shape NAME`` enters ``kolo.bench.shapes.made`` and measures the file it gives as
any other model. Both raise KoloError.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from kolo.bench.result import EngineCell, Shape
from kolo.config import Settings

Tell = Callable[[str], None]
"""Is told what is going on, in a few words: ``generating 4 wide, 2/5``."""


class EngineWork(Struct, frozen=True, kw_only=True):
    """The same work as the HTTP layer has, so that the two can be compared."""

    target: str
    """For ``EngineCell.target``."""
    model: str
    """A reference or a path, as ``kolo.models.resolve`` takes it."""
    settings: Settings
    """Loading parameters of ``settings.engine`` are those of the HTTP layer's engine."""
    widths: tuple[int, ...]
    """Sequences at a time; one prefill and one decode cell for each."""
    prompt_tokens: int
    output_tokens: int
    depths: tuple[int, ...] = ()
    """Of the decode cells; empty means ``prompt_tokens``."""
    repetitions: int = 5
    seed: int = 0


class EngineProbe(Protocol):
    """``kolo.bench.probe.measure``. What was finished before a cancellation is lost, unless it
    was handed to ``done``."""

    async def __call__(
        self, work: EngineWork, tell: Tell, done: Callable[[EngineCell], None]
    ) -> None: ...


class ShapeMaker(Protocol):
    """``kolo.bench.shapes.made``. The file is gone when the context is left."""

    def __call__(
        self, name: str, tell: Tell
    ) -> AbstractAsyncContextManager[tuple[Path, Shape]]: ...
