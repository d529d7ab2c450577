"""A result that is not whole: said in so many words, and in the exit code."""

from __future__ import annotations

from typing import Protocol

from kolo.cli.boundary import Complaint, render
from kolo.cli.output import talk
from kolo.errors import InternalError
from kolo.types import FinishReason, Generate

PARTIAL = 8


class Ended(Protocol):
    """An answer, as far as how it ended goes."""

    n_tokens: int
    finish: FinishReason | None


def exit_code_of(answer: Ended, op: Generate, *, otherwise: str = "") -> int:
    """0 for a whole answer; else say what is missing. ``otherwise`` is one more thing to try.

    Raises InternalError where the engine took the request back and nobody had asked it to.
    """
    if answer.finish == "length":
        if op.max_tokens is not None and answer.n_tokens >= op.max_tokens:
            return not_whole(
                f"the answer was cut at -n {op.max_tokens} tokens", f"a larger -n{otherwise}"
            )
        return not_whole(
            f"the answer was cut after {answer.n_tokens} tokens: the context is full",
            f"a shorter prompt, or a larger context{otherwise}",
        )
    if answer.finish == "cancelled":
        raise InternalError("the engine took the request back, and nobody had asked it to")
    return 0


def not_whole(what: str, hint: str) -> int:
    """Say it, and return the exit code for it."""
    talk(render(Complaint(what, [], hint, PARTIAL)))
    return PARTIAL
