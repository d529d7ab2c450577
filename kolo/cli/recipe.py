"""What the options of ``kolo complete`` say of every request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kolo.batch.recipe import Recipe
from kolo.cli.options import sampling
from kolo.cli.prompt import read_grammar, read_schema
from kolo.errors import UsageError
from kolo.types import Constraint


def recipe_of(
    *,
    system: str | None,
    raw: bool,
    schema: Path | None,
    grammar: Path | None,
    choices: str | None,
    stop: tuple[str, ...],
    max_tokens: int | None,
    answers: int,
    logprobs: int | None,
    **options: Any,
) -> Recipe:
    """Files are read. UsageError for what contradicts itself."""
    if raw and system is not None:
        raise UsageError(
            "--system needs the chat template, and --raw has none",
            hint="leave out one of the two",
        )
    if "" in stop:
        raise UsageError("--stop is empty", hint="the text to stop at, such as $'\\n'")
    return Recipe(
        system=system,
        raw=raw,
        sampling=sampling(options),
        constraint=_constraint(schema, grammar, choices),
        max_tokens=max_tokens,
        stop=stop,
        n=answers,
        logprobs=logprobs,
    )


def _constraint(
    schema: Path | None, grammar: Path | None, choices: str | None
) -> Constraint | None:
    options = {"--schema": schema, "--grammar": grammar, "--choices": choices}
    given = [option for option, value in options.items() if value is not None]
    if len(given) > 1:
        raise UsageError(
            f"{' and '.join(given)} both say what the answer must be",
            hint="leave out one of the two",
        )
    if schema is not None:
        return Constraint(json_schema=read_schema(schema))
    if grammar is not None:
        return Constraint(grammar=read_grammar(grammar))
    return None if choices is None else Constraint(choices=_choices(choices))


def _choices(text: str) -> list[str]:
    """``a,b,c``, or a JSON array of texts where one has a comma in it."""
    found: Any = [part.strip() for part in text.split(",")]
    if text.lstrip().startswith("["):
        import json

        try:
            found = json.loads(text)
        except json.JSONDecodeError as error:
            raise _no_choices(f"column {error.colno}: {error.msg}") from error
    if not (isinstance(found, list) and found and all(isinstance(one, str) for one in found)):
        raise _no_choices("not a list of texts")
    if not all(found):
        raise _no_choices("one of them is empty")
    return found


def _no_choices(why: str) -> UsageError:
    return UsageError(
        f"--choices: {why}",
        hint='yes,no or, with commas in them, \'["yes, please", "no"]\'',
        param="--choices",
    )
