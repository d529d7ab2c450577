"""Timing an engine by itself: the question and its answer, plain data as in ``types``."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct


class Measure(Struct, frozen=True, omit_defaults=True, kw_only=True, tag="measure"):
    """Time the engine by itself; answered with ``Measured``, or Busy while it has other work.

    What is cached is given up for it, and requests that come meanwhile wait.
    """

    kind: Literal["prefill", "decode"]
    """``prefill``: ``width`` prompts of ``n_prompt`` tokens each are read. ``decode``: ``width``
    sequences that hold ``n_prompt`` tokens each gain ``n_output``."""
    width: Annotated[int, Meta(ge=1, le=256)] = 1
    n_prompt: Annotated[int, Meta(ge=1, le=2**27)] = 1
    n_output: Annotated[int, Meta(ge=1, le=2**20)] = 1
    seed: Annotated[int, Meta(ge=0)] = 0
    """Of the random tokens of the prompts."""


class Measured(Struct, frozen=True, kw_only=True, tag="measured"):
    """What ``Measure`` took, step by step, on the worker's clock.

    Of ``decode`` only steps of the full width are counted, without the first of them, which also
    copies the prompt.
    """

    n_tokens: int
    """Read, or gained by all sequences together."""
    step_ms: list[float]
    """Whole steps: scheduling, the backend, drawing greedily, text, encoding the frame."""
    backend_ms: list[float]
    """The backend's share of each."""
