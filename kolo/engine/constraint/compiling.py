"""From a constraint to llguidance's matcher, or to an error that says what is wrong and where."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import llguidance

from kolo.engine.constraint.cfg import gbnf_to_lark
from kolo.engine.constraint.gbnf import TokenLookup
from kolo.engine.constraint.schema import OPTIONS, Prepared, Schema, prepare
from kolo.errors import BadGrammar
from kolo.types import Constraint

MAX_CHOICES_CHARS = 1 << 18
LOCATE_S = 0.5
"""Time for finding the place in a schema that a problem is in."""

_LIMITS = {"step_max_items": 2_000_000, "step_lexer_fuel": 2_000_000}
"""Work for one mask, over the library's defaults: some 100 ms at worst. Single code points over
150 000 tokens need more items than its 50 000."""
_EXACT = '%llguidance {"no_forcing": true}\n'
"""Masks hold every token that may come, not only the tokenizer's own spelling of forced text."""


def matcher(
    constraint: Constraint | None,
    lark: str | None,
    tokenizer: Any,
    token: TokenLookup,
    eog: Iterable[int],
) -> Any:
    """llguidance's ``LLMatcher`` of the one thing given. Raises BadGrammar."""
    given = [] if constraint is None else _given(constraint)
    if len(given) + (lark is not None) != 1:
        named = [*given, *(["tool calls"] if lark is not None else [])]
        raise BadGrammar(
            f"an answer takes one constraint, given are {' and '.join(named) or 'none'}",
            hint="Leave all but one of them out.",
            param=given[0] if given else None,
        )
    if constraint is None or lark is not None:
        return _checked(lark or "", tokenizer, "tools")
    if constraint.grammar is not None:
        return _gbnf(constraint.grammar, tokenizer, token, list(eog))
    if constraint.choices is not None:
        return _checked(_choices_lark(constraint.choices), tokenizer, "choices")
    if constraint.json_schema is not None:
        return _schema(prepare(constraint.json_schema), tokenizer)
    return _checked(json_lark({"x-guidance": OPTIONS, "type": "object"}), tokenizer, "json_object")


def json_lark(schema: dict[str, Any]) -> str:
    """Lark for a JSON value of a schema that ``schema`` has prepared."""
    return f"start: %json {json.dumps(schema, allow_nan=False)}\n"


def first_line(problem: str) -> str:
    """What llguidance says, without the state and the grammar that follow."""
    return problem.split("\n", 1)[0].strip()


def _given(constraint: Constraint) -> list[str]:
    values = {name: getattr(constraint, name) for name in constraint.__struct_fields__}
    values["json_object"] = values["json_object"] or None
    return [name for name, value in values.items() if value is not None]


def _build(lark: str, tokenizer: Any) -> tuple[Any, str]:
    """The matcher, and what is wrong with it; nothing may match at all, too."""
    limits = llguidance.LLParserLimits(**_LIMITS)
    core = llguidance.LLMatcher(tokenizer, _EXACT + lark, log_level=0, limits=limits)
    warnings = [] if core.is_error() else core.get_grammar_warnings()
    if not core.is_error():
        core.compute_bitmask()
    problem = core.get_error() if core.is_error() else "\n".join(warnings)
    return core, "nothing can match it" if "NoExtension" in first_line(problem) else problem


def _checked(lark: str, tokenizer: Any, what: str) -> Any:
    core, problem = _build(lark, tokenizer)
    if problem:
        raise BadGrammar(
            f"{what}: {_readable(problem)}", hint="Simplify it or leave it out.", param=what
        )
    return core


def _readable(problem: str) -> str:
    """llguidance's message; of a regular expression's, its last line is the one that says it."""
    lines = [line.strip() for line in problem.split("\n<state>")[0].splitlines() if line.strip()]
    said = next((line for line in lines if line.startswith("error:")), lines[0])
    return said.rpartition("failed to compile JSON schema: ")[2][:300]


# GBNF and choices --------------------------------------------------------------------------


def _gbnf(text: str, tokenizer: Any, token: TokenLookup, eog: list[int]) -> Any:
    core, problem = _build(gbnf_to_lark(text, token, eog), tokenizer)
    if problem:
        lark = gbnf_to_lark(text, token, eog, lexeme=False)
        return _checked(lark, tokenizer, "grammar")
    return core


def _choices_lark(choices: list[str]) -> str:
    if not choices:
        raise BadGrammar("choices is empty", hint="List one answer or more.", param="choices")
    if sum(map(len, choices)) > MAX_CHOICES_CHARS:
        raise BadGrammar(
            f"choices hold more than {MAX_CHOICES_CHARS} characters together",
            hint="List fewer or shorter ones.",
            param="choices",
        )
    for index, choice in enumerate(choices):
        if any("\ud800" <= char <= "\udfff" for char in choice):
            raise BadGrammar(
                f"choices[{index}] is not valid Unicode text",
                hint="Leave lone surrogates out.",
                param="choices",
            )
    # Duplicates would only make the lexeme larger.
    options = [_literal(choice) for choice in dict.fromkeys(choices)]
    return f"start: CHOICE\nCHOICE: {' | '.join(options)}\n"


def _literal(text: str) -> str:
    codes = (rf"\x{{{ord(char):x}}}" for char in text)
    return f"/{''.join(codes)}/" if text else '""'


# JSON Schema -------------------------------------------------------------------------------


def _schema(prepared: Prepared, tokenizer: Any) -> Any:
    lark = json_lark(prepared.schema)
    try:
        core, problem = _build(lark, tokenizer)
    except ValueError as error:
        core, problem = None, str(error)
    path = prepared.places[0][0] if prepared.places else "schema"
    if problem:
        path, problem = _locate(prepared, prepared.places) or (path, problem)
    elif '"multipleOf"' in lark:
        # Steps and bounds may leave no number at all, and llguidance finds out too late.
        stepped = [place for place in prepared.places if '"multipleOf"' in json.dumps(place[1])]
        path, problem = _locate(prepared, stepped) or (path, problem)
    if problem:
        raise BadGrammar(
            f"{path.strip()}: {_readable(problem)}",
            hint="Correct what contradicts itself there, or say it in a simpler way.",
            param="json_schema",
        )
    return core


def _locate(prepared: Prepared, places: Sequence[tuple[str, Schema]]) -> tuple[str, str] | None:
    """Path and problem of the first of ``places`` that has one on its own.

    First without what it refers to, so that the innermost is found, then with it.
    """
    deadline = time.monotonic() + LOCATE_S
    names = dict.fromkeys(prepared.schema["$defs"], True)
    for defs in (names, prepared.schema["$defs"]):
        for path, node in places:
            if time.monotonic() > deadline:
                return None
            if node is not False:
                alone = {**prepared.schema, "$ref": "#/$defs/it", "$defs": {**defs, "it": node}}
                _, problem = _build(json_lark(alone), _bytes_tokenizer())
                if problem:
                    return path, problem
    return None


class _Bytes:
    """The smallest vocabulary: every byte and an end."""

    is_tokenizer_wrapper = True
    bos_token_id = None
    eos_token_id = 256
    special_token_ids = (256,)
    tokens = (*(bytes([byte]) for byte in range(256)), b"\xff<end>")

    def __call__(self, text: str | bytes) -> list[int]:
        return list(text.encode() if isinstance(text, str) else text)


@cache
def _bytes_tokenizer() -> Any:
    return llguidance.LLTokenizer(_Bytes())
