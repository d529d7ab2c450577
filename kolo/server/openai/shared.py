"""From the fields that chat and text completions share to those of a Generate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kolo.errors import BadParameter
from kolo.server.body import check_free_form
from kolo.server.openai.fields import REFUSED, Common
from kolo.types import Constraint, Sampling

FORBID = -100.0

_LETTERS = {
    "e": "penalties",
    "d": "dry",
    "s": "top_n_sigma",
    "k": "top_k",
    "y": "typical_p",
    "p": "top_p",
    "m": "min_p",
    "x": "xtc",
    "t": "temperature",
}
"""llama-server's ``--sampler-seq``."""
_SAMPLER_NAMES = {"typ_p": "typical_p", "temp": "temperature"}
_SAME_IN_SAMPLING = tuple(
    name
    for name in Sampling.__struct_fields__
    if name not in ("top_k", "typical_p", "samplers", "logit_bias", "ignore_eos")
)


def check_common(body: Common) -> None:
    """BadParameter for what is declared, and may be said, but not like this."""
    options = body.stream_options
    if options is not None and not body.stream:
        raise BadParameter(
            "stream_options is for streams",
            hint="Send stream: true, or leave it out.",
            param="stream_options",
        )
    for name, given in (
        ("stream_options.include_obfuscation", options and options.include_obfuscation),
        ("store", body.store),
    ):
        if given:
            why = REFUSED[name.rpartition(".")[2]]
            raise BadParameter(
                f"{name} cannot be honoured: {why}", hint="Leave it out.", param=name
            )


def check_alone(body: Common, n_prompts: int) -> None:
    """BadParameter for several prompts with what is told of one."""
    for name in ("return_progress", "timings_per_token"):
        if n_prompts > 1 and getattr(body, name):
            raise BadParameter(
                f"{name} is told of one prompt, and there are {n_prompts}",
                hint="Leave it out, or send one prompt a request.",
                param=name,
            )


def sampling(body: Common) -> Sampling:
    fields = {name: getattr(body, name) for name in _SAME_IN_SAMPLING}
    return Sampling(
        **fields,
        top_k=0 if body.top_k == -1 else body.top_k,
        typical_p=one_of(body, "typical_p", "typ_p"),
        samplers=_samplers(body.samplers),
        logit_bias=_logit_bias(body.logit_bias),
        ignore_eos=bool(body.ignore_eos),
    )


def stops(body: Common) -> list[str]:
    given = [body.stop] if isinstance(body.stop, str) else body.stop or []
    for at, text in enumerate(given):
        if not text:
            param = "stop" if isinstance(body.stop, str) else f"stop[{at}]"
            raise BadParameter(
                f"{param} is empty, and would end every answer", hint="Leave it out.", param=param
            )
    return given


def token_bound(body: Any, *names: str) -> int | None:
    """The one bound that several names may give; None for none, which -1 says too."""
    value = one_of(body, *names)
    return None if value == -1 else value


def one_of(body: Any, *names: str) -> Any:
    """The value under several names for one thing. BadParameter if they differ."""
    given = {name: value for name in names if (value := getattr(body, name)) is not None}
    if len(set(given.values())) > 1:
        *others, last = given
        raise BadParameter(
            f"{' and '.join([*others, last])} mean the same and differ",
            hint="Send one of them.",
            param=last,
        )
    return next(iter(given.values()), None)


def constraint(body: Common, **more: Constraint | None) -> Constraint | None:
    """The one constraint of a request: its grammar, its schema, or one of ``more`` by field."""
    given: dict[str, Constraint] = {}
    if body.grammar:
        given["grammar"] = Constraint(grammar=body.grammar)
    if body.json_schema is not None:
        check_free_form(body.json_schema, "json_schema")
        given["json_schema"] = Constraint(json_schema=body.json_schema)
    given |= {name: value for name, value in more.items() if value is not None}
    if len(given) > 1:
        raise BadParameter(
            f"an answer cannot follow {' and '.join(given)} at once",
            hint="Send one of them.",
            param=list(given)[-1],
        )
    return next(iter(given.values()), None)


def _samplers(given: list[str] | str | None) -> list[str] | None:
    if not isinstance(given, str):
        return given and [_SAMPLER_NAMES.get(name, name) for name in given]
    unknown = [letter for letter in given if letter not in _LETTERS]
    if unknown:
        raise BadParameter(
            f"samplers: no sampler has the letter {unknown[0]!r}",
            hint=f"The letters are {''.join(_LETTERS)}.",
            param="samplers",
        )
    return [_LETTERS[letter] for letter in given]


def _logit_bias(
    given: Mapping[str, float] | list[tuple[int | str, float | bool]] | None,
) -> dict[str, float] | None:
    if given is None or isinstance(given, dict):
        return given or None
    biases: dict[str, float] = {}
    for at, (what, value) in enumerate(given):
        if value is True or (isinstance(what, str) and what.isascii() and what.isdigit()):
            raise BadParameter(
                f"logit_bias[{at}] is a pair of a token's id or a text, and a number or false",
                hint="A text of digits alone would be read as an id: send the id instead.",
                param="logit_bias",
            )
        biases[str(what)] = FORBID if value is False else float(value)
    return biases or None
