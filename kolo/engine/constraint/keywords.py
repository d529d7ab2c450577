"""JSON Schema's keywords about one value: numbers, strings, counts, constants.

Each function takes the schema object and its path and returns the keywords as llguidance shall
see them; what cannot be kept exactly is refused with the path of the keyword. Rounding, where a
double cannot hold a bound, goes inwards.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NoReturn

from kolo.engine.constraint.pattern import (
    FORMATS,
    INTEGER_FORMATS,
    PatternError,
    from_ecma,
    is_writable,
)
from kolo.errors import BadGrammar

MAX_COUNT = 1_000_000
"""Longest string and array, in characters and items."""
LARGEST = 9223372036854774784.0
"""The last number below 2**63 that a double holds."""
EXACT = 2**53
MAX_STEP = 10_000
"""Largest ``multipleOf``, its decimals counted as digits: the automaton has a state for each."""
MAX_CONST_LEVELS = 20
MAX_CONST_CHARS = 20_000

Node = dict[str, Any]


def refuse(path: str, what: str, hint: str = "") -> NoReturn:
    """Raise the BadGrammar of a keyword; ``path`` is where the schema came from and a pointer."""
    raise BadGrammar(
        f"{path.strip()}: {what}",
        hint=hint or "Leave the keyword out or say it in another way.",
        param="json_schema",
    )


def numbers(node: Node, path: str) -> Node:
    """Bounds and ``multipleOf``, with the bounds of an integer ``format``."""
    out: Node = {}
    for key in ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"):
        if key in node:
            out[key] = _bound(_number(node, key, path), key, path)
    low, high = _format_bounds(node, path)
    if low is not None and high is not None:
        out["minimum"] = max(low, out.get("minimum", low))
        out["maximum"] = min(high, out.get("maximum", high))
    least = max((out[k] for k in ("minimum", "exclusiveMinimum") if k in out), default=-math.inf)
    most = min((out[k] for k in ("maximum", "exclusiveMaximum") if k in out), default=math.inf)
    if least > most:
        refuse(path, f"no number is at least {least} and at most {most}", "Exchange the bounds.")
    if "multipleOf" in node:
        step = _number(node, "multipleOf", path)
        if step <= 0:
            refuse(f"{path}/multipleOf", f"{step} is not over 0", "Use a positive number.")
        if scaled(step)[0] > MAX_STEP:
            refuse(f"{path}/multipleOf", f"{step} has too many digits", "Use a rounder number.")
        out["multipleOf"] = step
    return out


def scaled(step: float) -> tuple[int, int]:
    """``step`` as an integer over a power of ten, which is the second of the pair."""
    number = Decimal(str(step))
    digits = max(0, -int(number.normalize().as_tuple().exponent))
    return int(number.scaleb(digits)), digits


def check_steps(steps: Mapping[float, str]) -> None:
    """Refuse steps (each with its path) that, merged, would have too long a period."""
    pairs = [scaled(step) for step in steps]
    digits = max((power for _, power in pairs), default=0)
    if math.lcm(*(number * 10 ** (digits - power) for number, power in pairs)) > MAX_STEP:
        refuse(list(steps.values())[-1], "too many steps to merge", "Merge them by hand.")


def strings(node: Node, path: str) -> list[Node]:
    """Lengths, ``pattern`` and ``format``; one part for each expression to match."""
    lengths = counts(node, path, "minLength", "maxLength")
    patterns: list[str] = []
    if "pattern" in node:
        try:
            patterns.append(from_ecma(_string(node, "pattern", path)))
        except PatternError as error:
            refuse(
                f"{path}/pattern",
                f"{error} cannot be kept",
                "Patterns are those of ECMA-262 that a regular language can say.",
            )
    if (form := _string_format(node, path)) is not None:
        patterns.append(f"^(?:{form})$")
    if not patterns:
        return [lengths] if lengths else []
    return [{**lengths, "pattern": patterns[0]}, *({"pattern": p} for p in patterns[1:])]


def counts(node: Node, path: str, least: str, most: str) -> Node:
    """A pair such as ``minItems`` and ``maxItems``; an upper one over MAX_COUNT is lowered."""
    out: Node = {}
    for key in (least, most):
        if key in node:
            value = _number(node, key, path)
            if value < 0 or value != int(value):
                refuse(f"{path}/{key}", f"{value} is not a count", "Use a whole number from 0.")
            out[key] = int(value)
    if out.get(least, 0) > MAX_COUNT:
        refuse(f"{path}/{least}", f"over {MAX_COUNT} is more than an answer can hold")
    if least in out and out[least] > out.get(most, math.inf):
        refuse(path, f"{least} {out[least]} is over {most} {out[most]}", "Exchange them.")
    if most in out:
        out[most] = min(out[most], MAX_COUNT)
    return out


def constants(node: Node, path: str) -> Node:
    """``const`` and ``enum``, whose values must be such that JSON here can write them."""
    out: Node = {}
    if "const" in node:
        _check_constant(node["const"], f"{path}/const")
        out["const"] = node["const"]
    if "enum" in node:
        values = node["enum"]
        if not isinstance(values, list) or not values:
            refuse(f"{path}/enum", "an empty enum matches nothing", "List the values.")
        for index, value in enumerate(values):
            _check_constant(value, f"{path}/enum/{index}")
        out["enum"] = values
    return out


def names(node: Node, key: str, path: str) -> list[str]:
    """A list of distinct strings such as ``required``."""
    found = node.get(key, [])
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        refuse(f"{path}/{key}", "not a list of names", f'Write "{key}": ["name", ...].')
    return list(dict.fromkeys(found))


def types_of(node: Node, path: str) -> list[str]:
    """The types that ``type`` names; empty when it is not there."""
    if "type" not in node:
        return []
    found = node["type"]
    listed = found if isinstance(found, list) else [found]
    known = ("null", "boolean", "integer", "number", "string", "array", "object")
    if not listed or not all(isinstance(name, str) and name in known for name in listed):
        refuse(f"{path}/type", f"{found!r} is no type", f"Types are {', '.join(known)}.")
    return listed


def _number(node: Node, key: str, path: str) -> int | float:
    value = node[key]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not _finite(value):
        refuse(f"{path}/{key}", f"{value!r} is not a number", "Draft 2020-12 wants a number.")
    return value


def _finite(value: int | float) -> bool:
    return isinstance(value, int) or math.isfinite(value)


def _string(node: Node, key: str, path: str) -> str:
    value = node[key]
    if not isinstance(value, str):
        refuse(f"{path}/{key}", f"{value!r} is not a string", "Use a string.")
    return value


def _bound(value: int | float, key: str, path: str) -> int | float:
    """``value`` as llguidance, which thinks in doubles, will see it: rounded inwards."""
    lower = key in ("minimum", "exclusiveMinimum")
    if (value > LARGEST) if lower else (value < -LARGEST):
        refuse(f"{path}/{key}", "a bound beyond 2**63 cannot be kept", "Use a nearer bound.")
    if abs(value) > LARGEST:
        return -LARGEST if lower else LARGEST
    if abs(value) <= EXACT or isinstance(value, float):
        return value
    rounded = float(value)
    if (rounded < value) if lower else (rounded > value):
        rounded = math.nextafter(rounded, math.inf if lower else -math.inf)
    return int(rounded)


def _format_bounds(node: Node, path: str) -> tuple[int | float | None, int | float | None]:
    form, types = node.get("format"), types_of(node, path)
    if form in INTEGER_FORMATS and "integer" in types:
        low, high = INTEGER_FORMATS[form]
        return _bound(low, "minimum", path), _bound(high, "maximum", path)
    if form in ("float", "double") and {"integer", "number"} & set(types):
        return -LARGEST, LARGEST
    return None, None


def _string_format(node: Node, path: str) -> str | None:
    """The expression of ``format`` or ``contentEncoding``; None where any string will do."""
    encoding = node.get("contentEncoding")
    if encoding not in (None, "base64"):
        refuse(f"{path}/contentEncoding", f"{encoding!r} cannot be kept", "base64 can.")
    if "format" not in node:
        return FORMATS["base64"] if encoding else None
    form = _string(node, "format", path)
    types = types_of(node, path)
    if form in FORMATS and (not types or "string" in types):
        return FORMATS[form] or (FORMATS["base64"] if encoding else None)
    if _format_bounds(node, path) == (None, None):
        known = ", ".join(FORMATS)
        refuse(
            f"{path}/format",
            f"{form!r} cannot be kept" + (f" for type {types}" if types else ""),
            f"Formats of strings are {known}; of integers, int32 and the like. A pattern may do.",
        )
    return None


def _check_constant(value: Any, path: str, level: int = 0) -> None:
    if level > MAX_CONST_LEVELS:
        refuse(path, f"a value over {MAX_CONST_LEVELS} levels deep", "Use a flatter one.")
    if isinstance(value, str) and len(value) > MAX_CONST_CHARS:
        refuse(path, f"a string over {MAX_CONST_CHARS} characters long", "Use a shorter one.")
    if isinstance(value, str) and not is_writable(value):
        refuse(path, "a string with control characters that JSON here cannot hold", "Use others.")
    if isinstance(value, int) and not isinstance(value, bool):
        if abs(value) > LARGEST or int(float(value)) != value:
            refuse(path, f"the number {str(value)[:30]} cannot be kept exactly", "Use a string.")
    elif isinstance(value, float) and not abs(value) <= LARGEST:
        refuse(path, f"the number {value} cannot be kept exactly", "Use a string.")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_constant(item, f"{path}/{index}", level + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_constant(item, f"{path}/{key}", level + 1)
