"""What holds of a rewritten schema as a whole: it ends, it stays small, its oneOf excludes.

Schemas here are what ``schema`` has written: definitions by name, references of the form
``#/$defs/name``, no ``oneOf`` left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from kolo.engine.constraint.cycles import find_cycle
from kolo.engine.constraint.disjoint import Apart
from kolo.engine.constraint.keywords import Node, refuse

MAX_MERGED = 3_000
"""Subschemas that ``allOf`` and its like make llguidance merge, references followed."""

MAX_BRANCHES = 150
"""Of a ``oneOf``, whose branches are compared each with each."""

Schema = Node | bool


def check_loops(defs: dict[str, Schema], paths: dict[str, str]) -> None:
    """Refuse references that lead back without going into a value: the draft leaves them open."""
    graph = {name: set(_in_place(node)) for name, node in defs.items()}
    if cycle := find_cycle(graph):
        refuse(paths[cycle[0]], "it refers to itself for the same value", "Break the circle.")


def check_ends(defs: dict[str, Schema], paths: dict[str, str]) -> None:
    """Refuse definitions of which no finite value exists."""
    known: set[str] = set()
    while new := {name for name in defs if name not in known and _ends(defs[name], known)}:
        known |= new
    if endless := [name for name in defs if name not in known]:
        refuse(
            paths[endless[0]],
            "it requires itself without end, so no value can match",
            "Make the recursive part optional, nullable or an array that may be empty.",
        )


def check_merges(merges: Sequence[tuple[str, Schema]], defs: dict[str, Schema]) -> None:
    """Refuse an ``allOf`` (with its path) that would unfold into too much; cycles count once."""
    sizes: dict[str, int] = {}
    seen: set[str] = set()
    stack = list(defs) if merges else []
    while stack:
        name = stack[-1]
        inner = [] if name in seen else list((set(_targets(defs[name])) & defs.keys()) - seen)
        seen.add(name)
        stack += inner
        if not inner:
            stack.pop()
            sizes.setdefault(name, _size(defs[name], sizes))
    for path, merged in merges:
        if _size(merged, sizes) > MAX_MERGED:
            refuse(path, "too much to merge under allOf or its like", "Merge it by hand.")


def check_exclusive(
    path: str, written: Sequence[Schema], given: Sequence[Schema], apart: Apart
) -> None:
    """Refuse a ``oneOf`` of which a value written for one branch might match another as well."""
    if len(given) > MAX_BRANCHES:
        refuse(path, f"over {MAX_BRANCHES} branches cannot be told apart", "Write anyOf.")
    for i, own in enumerate(written):
        for j, other in enumerate(given):
            if i != j and not apart(own, other):
                refuse(
                    path,
                    f"a value may match both branch {i} and branch {j}, or so it seems",
                    "Write anyOf, or tell the branches apart: by type, or by a required property "
                    "with another const in each.",
                )


def _ends(node: Schema, known: set[str], kind: Any = None) -> bool:
    """Whether a finite value matches, given the definitions for which that is known.

    ``kind`` is the type that a schema around this one states.
    """
    if isinstance(node, bool):
        return True
    if "$ref" in node and target(node["$ref"]) not in known:
        return False
    parts = node.get("allOf", [])
    stated = [part["type"] for part in parts if isinstance(part, dict) and "type" in part]
    kind = next((t for t in (node.get("type"), *stated) if isinstance(t, str)), kind)
    if not all(_ends(part, known, kind) for part in parts):
        return False
    if "anyOf" in node and not any(_ends(part, known, kind) for part in node["anyOf"]):
        return False
    if kind == "object":
        return _object_ends(node, known)
    least = node.get("minItems", 0) if kind == "array" else 0
    first = node.get("prefixItems", [])
    rest = [node.get("items", True)] * (least > len(first))
    return all(_ends(item, known) for item in [*first[:least], *rest])


def _object_ends(node: Node, known: set[str]) -> bool:
    named = node.get("properties", {})
    rest = node.get("additionalProperties", True)
    required = node.get("required", ())
    if not all(_ends(named.get(name, rest), known) for name in required):
        return False
    if node.get("minProperties", 0) <= len(required):
        return True
    others = [*named.values(), *node.get("patternProperties", {}).values(), rest]
    return any(_ends(other, known) for other in others if other is not False)


def _size(node: Schema, sizes: dict[str, int]) -> int:
    own = sum(isinstance(inner, (dict, list)) for _, inner in walk(node))
    return min(own + sum(sizes.get(name, 1) for name in _targets(node)), MAX_MERGED + 1)


def _in_place(node: Schema) -> Iterator[str]:
    """The definitions that apply to the very value ``node`` is about."""
    if isinstance(node, dict):
        if "$ref" in node:
            yield target(node["$ref"])
        for part in (*node.get("allOf", ()), *node.get("anyOf", ())):
            yield from _in_place(part)


def _targets(node: Any) -> list[str]:
    """The definitions that ``node`` refers to, each as often as it does."""
    refs = (inner.get("$ref") for _, inner in walk(node) if isinstance(inner, dict))
    return [target(ref) for ref in refs if isinstance(ref, str) and ref.startswith("#/$defs/")]


def target(ref: str) -> str:
    """The name of the definition that a reference of ours means."""
    return ref.rsplit("/", 1)[1]


def walk(node: Any) -> Iterator[tuple[str, Any]]:
    """Every value in ``node`` with its JSON pointer, without recursion."""
    stack = [("", node)]
    while stack:
        pointer, node = stack.pop()
        yield pointer, node
        if isinstance(node, dict):
            stack += [(f"{pointer}/{escaped(key)}", value) for key, value in node.items()]
        elif isinstance(node, list):
            stack += [(f"{pointer}/{i}", value) for i, value in enumerate(node)]


def escaped(name: str) -> str:
    """``name`` as a step of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")
