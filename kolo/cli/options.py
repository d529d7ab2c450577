"""Options that several commands share, and what they become."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from kolo.types import Sampling

F = TypeVar("F", bound=Callable[..., Any])

INT32_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1
MAX_CONCURRENCY = 256


class Number(click.FloatRange):
    """A number in a range; "nan" and "inf" are none."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number: float = click.FLOAT.convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        result: float = super().convert(number, param, ctx)
        return result


class Text(click.types.StringParamType):
    """Text that can be sent: an argument that was not UTF-8 is refused, with the place."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text: str = super().convert(value, param, ctx)
        try:
            text.encode()
        except UnicodeEncodeError as error:
            offset = len(os.fsencode(text[: error.start]))
            self.fail(f"not UTF-8: byte {os.fsencode(text)[offset]:#04x} at offset {offset}.")
        return text


def model_option(command: F) -> F:
    """``-m MODEL``; None is the configured default."""
    return click.option(
        "-m",
        "--model",
        type=Text(),
        metavar="MODEL",
        help="Which model: a name that kolo ls shows or the beginning of one, or a path to a "
        ".gguf file. The default is from the settings.",
    )(command)


def lines_options(command: F) -> F:
    """Of commands that ask for each line of a file, and of how long and how often they ask."""
    for option in reversed(
        [
            click.option(
                "--out",
                type=click.Path(path_type=Path),
                metavar="FILE",
                help="Results of --jsonl go there; what is there already is not asked again.",
            ),
            click.option(
                "--retry-failed",
                is_flag=True,
                help="Ask again what has an error in --out; the answers there are kept.",
            ),
            click.option(
                "--concurrency",
                type=click.IntRange(1, MAX_CONCURRENCY),
                metavar="N",
                help="Requests of --jsonl that are under way at a time; 8.",
            ),
            click.option(
                "--timeout",
                "timeout_s",
                type=Number(0.001, 1e9),
                metavar="SECONDS",
                help="Give up after this long, loading included; exit code 7. With --jsonl, on "
                "each line.",
            ),
            click.option(
                "--retries",
                type=click.IntRange(0, 1000),
                metavar="N",
                help="Try so often again, after a pause, what may succeed then: a server that is "
                "gone, busy or restarted, an engine that crashed. 0, with --jsonl 8.",
            ),
        ]
    ):
        command = option(command)
    return command


def sampling_options(command: F) -> F:
    """How an answer is drawn; ``sampling`` gathers what was given."""
    for option in reversed(
        [
            click.option(
                "--temp",
                "--temperature",
                "temperature",
                type=Number(0.0, 100.0),
                metavar="T",
                help="Temperature; 0 always takes the likeliest token.",
            ),
            click.option(
                "--top-p",
                type=Number(0.0, 1.0),
                metavar="P",
                help="Only the likeliest tokens that together have this probability.",
            ),
            click.option(
                "--top-k",
                type=click.IntRange(0, INT32_MAX),
                metavar="K",
                help="Only the K likeliest tokens; 0 is all.",
            ),
            click.option(
                "--min-p",
                type=Number(0.0, 1.0),
                metavar="P",
                help="Only tokens at least this likely, relative to the likeliest.",
            ),
            click.option(
                "--seed",
                type=click.IntRange(-1, INT64_MAX),
                metavar="S",
                help="Makes the draw repeatable; -1 draws a seed, which --json shows.",
            ),
        ]
    ):
        command = option(command)
    return command


def length_option(command: F) -> F:
    """``-n N``; None runs to the end of the context."""
    return click.option(
        "-n",
        "--max-tokens",
        type=click.IntRange(1, INT32_MAX),
        metavar="N",
        help="At most this many tokens; without it, as far as the context goes.",
    )(command)


def sampling(options: dict[str, Any]) -> Sampling:
    """The sampling parameters among ``options``; those not given stay None."""
    return Sampling(
        **{name: options[name] for name in ("temperature", "top_p", "top_k", "min_p", "seed")}
    )
