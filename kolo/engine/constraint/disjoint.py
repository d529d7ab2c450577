"""Whether two JSON Schemas exclude each other, as far as that is plain to see.

A schema is unfolded into shapes: its alternatives (``anyOf``, ``oneOf``), each with everything
that applies to the same value gathered. What a shape leaves out only makes it wider, so the
answer is never yes wrongly.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MAX_SHAPES = 64
MAX_LEVELS = 40
"""References and applicators followed into each other; beyond, a schema is taken as anything."""

_ALL = frozenset({"null", "boolean", "integer", "fraction", "string", "array", "object"})
_NUMBERS = frozenset({"integer", "fraction"})
_TYPES = {"number": _NUMBERS} | {name: frozenset({name}) for name in _ALL}

Resolve = Callable[[str], Any]


@dataclass(frozen=True)
class Shape:
    types: frozenset[str] = _ALL
    values: tuple[Any, ...] | None = None
    """The only values, if they are listed."""
    least: float = -math.inf
    most: float = math.inf
    required: frozenset[str] = frozenset()
    properties: tuple[tuple[str, Any], ...] = ()
    only: frozenset[str] | None = None
    """The only property names, if others are excluded."""

    def joined(self, other: Shape) -> Shape:
        values, only = self.values, self.only
        if values is None or other.values is None:
            values = other.values if values is None else values
        else:
            values = tuple(value for value in values if _in(value, other.values))
        if only is None or other.only is None:
            only = other.only if only is None else only
        else:
            only &= other.only
        return Shape(
            self.types & other.types,
            values,
            max(self.least, other.least),
            min(self.most, other.most),
            self.required | other.required,
            self.properties + other.properties,
            only,
        )


class Apart:
    """Compares schemas of two documents, each with its way from ``$ref`` to schema."""

    def __init__(self, resolve_a: Resolve, resolve_b: Resolve) -> None:
        self._a = _Shapes(resolve_a)
        self._b = _Shapes(resolve_b)
        self._known: dict[tuple[int, int], bool] = {}

    def __call__(self, a: Any, b: Any) -> bool:
        """True only if no value matches ``a`` of the first document and ``b`` of the second."""
        key = (id(a), id(b))
        if key not in self._known:
            self._known[key] = False
            pairs = itertools.product(self._a.of(a, 0), self._b.of(b, 0))
            self._known[key] = all(self._shapes(x, y) for x, y in pairs)
        return self._known[key]

    def _shapes(self, a: Shape, b: Shape) -> bool:
        types = a.types & b.types
        for mine, other in ((a, b), (b, a)):
            if mine.values is not None:
                types &= {_type(value) for value in mine.values if _may_be(value, other)}
        if a.values is not None and b.values is not None:
            types &= {_type(value) for value in a.values if _in(value, b.values)}
        if a.least > b.most or b.least > a.most:
            types -= _NUMBERS
        if "object" in types and self._objects(a, b):
            types -= {"object"}
        return not types

    def _objects(self, a: Shape, b: Shape) -> bool:
        for mine, other in ((a, b), (b, a)):
            if mine.only is not None and other.required - mine.only:
                return True
        present = a.required | b.required
        return any(
            self(x, y)
            for name, x in a.properties
            if name in present
            for key, y in b.properties
            if key == name
        )


class _Shapes:
    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._known: dict[int, list[Shape]] = {}

    def of(self, node: Any, level: int) -> list[Shape]:
        """The alternatives of ``node``; none if nothing matches."""
        if isinstance(node, bool):
            return [Shape()] if node else []
        if level > MAX_LEVELS:
            return [Shape()]
        if id(node) not in self._known:
            self._known[id(node)] = [Shape()]
            self._known[id(node)] = self._unfold(node, level + 1)
        return self._known[id(node)]

    def _unfold(self, node: dict[str, Any], level: int) -> list[Shape]:
        groups = [[_own(node)]]
        if "$ref" in node:
            groups.append(self.of(self._resolve(node["$ref"]), level))
        groups += [self.of(part, level) for part in node.get("allOf", ())]
        for key in ("anyOf", "oneOf"):
            if key in node:
                groups.append([shape for part in node[key] for shape in self.of(part, level)])
        found = [Shape()]
        for group in groups:
            if len(found) * len(group) <= MAX_SHAPES:
                found = [a.joined(b) for a, b in itertools.product(found, group)]
        return found


def _own(node: dict[str, Any]) -> Shape:
    listed = node.get("type", ())
    listed = [listed] if isinstance(listed, str) else listed
    values = tuple(node["enum"]) if "enum" in node else None
    properties = node.get("properties", {})
    closed = node.get("additionalProperties") is False and "patternProperties" not in node
    return Shape(
        frozenset().union(*(_TYPES[name] for name in listed)) if listed else _ALL,
        (node["const"],) if "const" in node else values,
        max(node.get("minimum", -math.inf), node.get("exclusiveMinimum", -math.inf)),
        min(node.get("maximum", math.inf), node.get("exclusiveMaximum", math.inf)),
        frozenset(node.get("required", ())),
        tuple(properties.items()),
        frozenset(properties) if closed else None,
    )


def _type(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "integer" if value == int(value) else "fraction"
        case str():
            return "string"
        case list():
            return "array"
    return "object"


def _may_be(value: Any, shape: Shape) -> bool:
    """False if ``value`` cannot be of ``shape``; objects are told by their names alone."""
    if _type(value) not in shape.types:
        return False
    if _type(value) in _NUMBERS:
        return bool(shape.least <= value <= shape.most)
    if isinstance(value, dict):
        return shape.required <= value.keys() and (shape.only is None or value.keys() <= shape.only)
    return True


def _in(value: Any, values: tuple[Any, ...]) -> bool:
    """Equality as JSON has it: 1 is 1.0 and neither is true."""
    return any(_type(value) == _type(other) and value == other for other in values)
