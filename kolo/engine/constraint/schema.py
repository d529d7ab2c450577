"""JSON Schema (draft 2020-12), made ready for llguidance: everything it says is kept or refused.

llguidance compiles most of JSON Schema but drops unknown keywords silently, reads patterns as
Rust would, and rounds large numbers. So a schema is written anew here, keyword by keyword. What
the grammar cannot guarantee is refused with the path of the keyword.

An answer is valid against the schema given, never the other way round: not all valid values can
be generated. The set is narrowed where that helps and stays sound:

- an object that names ``properties`` and says nothing of others gets no others; properties come
  in the order of the schema, the optional ones may be left out;
- a schema whose keywords are all about one type, without ``type``, is of that type;
- JSON is written as Python's ``json.dumps`` does, one space after ``:`` and ``,``; strings
  hold no ``\\u`` escapes, hence no control characters but those with a short escape;
- numbers with bounds are written without exponent and below 2**63;
- ``format`` means the forms in ``pattern``; ``oneOf`` is taken when its branches provably
  exclude each other.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from kolo.engine.constraint import graph
from kolo.engine.constraint.disjoint import Apart
from kolo.engine.constraint.keywords import (
    Node,
    check_steps,
    constants,
    counts,
    names,
    numbers,
    refuse,
    strings,
    types_of,
)
from kolo.engine.constraint.pattern import FORMATS, PatternError, from_ecma
from kolo.engine.constraint.vocabulary import ANNOTATIONS, APPLICATORS, FAMILY, KNOWN, check_keys

MAX_NODES = 20_000
MAX_JSON_LEVELS = 100
MAX_LEVELS = 40
"""Subschemas within each other, references not followed."""
MAX_DEPTH = 400
"""Sum of the levels of all definitions in use. llguidance recurses along references and would
overflow an 8 MiB stack at four times this."""
MAX_OPTIONAL = 400
"""Optional properties of one object; llguidance gives up at 500."""

OPTIONS = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
    "json_allowed_escapes": 'nrbtf\\"',
    "coerce_one_of": False,
    "lenient": False,
}

Schema = Node | bool


@dataclass
class Prepared:
    """A schema for llguidance's ``%json``, options included, and where its parts came from."""

    schema: Node
    places: list[tuple[str, Schema]]
    """Path and rewritten form of each subschema that stands alone, inner ones first; their
    references are into ``schema['$defs']``."""


def prepare(schema: Schema, where: str = "schema") -> Prepared:
    """Check and rewrite ``schema``; ``where`` leads the paths in messages. Raises BadGrammar."""
    return _Writer(schema, where).run()


@dataclass
class _Survey:
    """What a schema and all that applies to the same value say together."""

    names: dict[str, None] = field(default_factory=dict)
    families: set[str] = field(default_factory=set)
    typed: bool = False
    fixed: bool = False
    """A ``const`` or ``enum`` is there."""
    open: bool = False
    """Other properties than those named are spoken of."""


class _Writer:
    def __init__(self, root: Schema, where: str) -> None:
        self.root = root
        self.where = where
        self.nodes = 0
        self.levels = 0
        self.defs: dict[str, Schema] = {}
        self.paths: dict[str, str] = {}
        self.known: dict[tuple[int, bool], str] = {}
        self.queue: deque[tuple[str, Schema]] = deque()
        self.loose: set[str] = set()
        self.places: list[tuple[str, Schema]] = []
        self.merges: list[tuple[str, Schema]] = []
        self.steps: dict[float, str] = {}
        self.exclusive: list[tuple[str, list[Schema], list[Schema]]] = []

    def run(self) -> Prepared:
        if _json_levels(self.root) > MAX_JSON_LEVELS:
            refuse(self.where, "the schema is nested too deep", "Use $defs and $ref.")
        main = self.define(self.root, f"{self.where} ", loose=False)
        depth = 0
        while self.queue:
            name, node = self.queue.popleft()
            self.levels = 0
            self.defs[name] = self.schema(node, self.paths[name], 0, loose=name in self.loose)
            depth += self.levels + 1
            if depth > MAX_DEPTH:
                refuse(self.paths[name], "too many nested definitions", "Use a smaller schema.")
        graph.check_loops(self.defs, self.paths)
        graph.check_merges(self.merges, self.defs)
        if self.merges:
            check_steps(self.steps)
        graph.check_ends(self.defs, self.paths)
        apart = Apart(
            lambda ref: self.defs[graph.target(ref)], lambda ref: self.resolve(ref, "")[1]
        )
        for path, written, given in self.exclusive:
            graph.check_exclusive(path, written, given, apart)
        return Prepared(
            {"x-guidance": OPTIONS, "$ref": f"#/$defs/{main}", "$defs": self.defs}, self.places
        )

    # One schema ---------------------------------------------------------------------------

    def schema(self, node: Any, path: str, level: int, *, loose: bool = False) -> Schema:
        """``node`` rewritten. ``loose``: it shares its value with other schemas, so that
        narrowing it alone could make them contradict each other."""
        self.nodes += 1
        self.levels = max(self.levels, level)
        if self.nodes > MAX_NODES or level > MAX_LEVELS:
            refuse(path, "the schema is too large or too deep", "Use a smaller schema.")
        if isinstance(node, bool):
            return node
        if not isinstance(node, dict):
            refuse(path, "not a schema", "A schema is an object, true or false.")
        check_keys(node, path, root=node is self.root)
        applied = [key for key in node if key in APPLICATORS]
        own = self.own(node, path, level, loose=loose)
        if not applied:
            out = _joined(own) if loose else _narrowed(node, own)
        elif not own and len(applied) == 1 and _is_one(applied[0], node):
            out = self.apply(applied[0], node, path, level, loose=loose)[0]
        else:
            out = self.merged(node, own, path, level, loose=loose)
        if not loose:
            self.places.append((path, out))
        return out

    def own(self, node: Node, path: str, level: int, *, loose: bool) -> list[Node]:
        """The keywords of ``node`` other than applicators, as one part or several."""
        head: Node = {}
        if found := types_of(node, path):
            head["type"] = found[0] if len(found) == 1 else found
        head |= constants(node, path)
        self.nodes += len(head.get("enum", ()))
        head |= numbers(node, path)
        if "multipleOf" in head:
            self.steps[head["multipleOf"]] = f"{path}/multipleOf"
        text, *more = strings(node, path) or [{}]
        head |= text | self.array(node, path, level)
        head |= self.object(node, path, level, loose=loose)
        return [part for part in (head, *more) if part]

    def merged(self, node: Node, own: list[Node], path: str, level: int, *, loose: bool) -> Schema:
        """``allOf`` of everything that ``node`` says of its value."""
        parts: list[Schema] = []
        for key in node:
            if key in APPLICATORS:
                parts += self.apply(key, node, path, level, loose=True)
            elif own and key in KNOWN:
                parts += own
                own = []
        if not loose:
            found = self.survey(node)
            if not found.typed and not found.fixed and len(found.families) == 1:
                parts.append({"type": found.families.pop()})
            if found.names and not found.open and not found.fixed:
                closed = {name: True for name in found.names}
                parts.append({"properties": closed, "additionalProperties": False})
        self.merges.append((path, {"allOf": parts}))
        return {"allOf": parts}

    def apply(self, key: str, node: Node, path: str, level: int, *, loose: bool) -> list[Schema]:
        value, path = node[key], f"{path}/{key}"
        if key == "$ref":
            return [self.reference(value, path, loose=loose)]
        if not isinstance(value, list) or not value:
            refuse(path, "not a list of schemas", "Give it one schema or more.")
        out = [
            self.schema(option, f"{path}/{i}", level + 1, loose=loose)
            for i, option in enumerate(value)
        ]
        if key == "allOf":
            return out
        if key == "oneOf" and len(out) > 1:
            self.exclusive.append((path, out, value))
        return [{"anyOf": out}]

    def array(self, node: Node, path: str, level: int) -> Node:
        out = counts(node, path, "minItems", "maxItems")
        if node.get("uniqueItems") and out.get("maxItems", 2) > 1:
            refuse(f"{path}/uniqueItems", "this keyword cannot be kept", "Check it in the answer.")
        if "prefixItems" in node:
            listed = node["prefixItems"]
            if not isinstance(listed, list) or not listed:
                refuse(f"{path}/prefixItems", "not a list of schemas", "Give it one or more.")
            out["prefixItems"] = [
                self.schema(item, f"{path}/prefixItems/{i}", level + 1)
                for i, item in enumerate(listed)
            ]
        if isinstance(node.get("items"), list):
            refuse(f"{path}/items", "not a schema", 'Call a list of schemas "prefixItems".')
        if "items" in node:
            out["items"] = self.schema(node["items"], f"{path}/items", level + 1)
        return out

    def object(self, node: Node, path: str, level: int, *, loose: bool) -> Node:
        out: Node = {}
        for key in ("properties", "patternProperties"):
            if key in node:
                if not isinstance(node[key], dict):
                    refuse(f"{path}/{key}", "not an object of schemas", "Map names to schemas.")
                out[key] = {
                    self.property_key(key, name, path): self.schema(
                        value, f"{path}/{key}/{graph.escaped(name)}", level + 1
                    )
                    for name, value in node[key].items()
                }
        if required := names(node, "required", path):
            out["required"] = required
        if "additionalProperties" in node:
            out["additionalProperties"] = self.schema(
                node["additionalProperties"], f"{path}/additionalProperties", level + 1
            )
        if "propertyNames" in node:
            out |= self.property_names(node, out, path)
        named = out.get("properties", {})
        if len(named.keys() - set(required)) > MAX_OPTIONAL:
            refuse(f"{path}/properties", f"over {MAX_OPTIONAL} optional ones", "Require some.")
        closed = out.get("additionalProperties", loose or not named) is False
        return out | self.property_counts(node, out, path, closed=closed)

    def property_key(self, key: str, name: str, path: str) -> str:
        if key == "properties":
            return name
        try:
            return from_ecma(name)
        except PatternError as error:
            refuse(f"{path}/{key}/{graph.escaped(name)}", f"{error} cannot be kept")

    def property_names(self, node: Node, out: Node, path: str) -> Node:
        """``propertyNames`` of a map: as its properties, or as a pattern."""
        path = f"{path}/propertyNames"
        rule: Any = node["propertyNames"]
        for _ in range(MAX_LEVELS):
            if isinstance(rule, dict) and set(rule) - ANNOTATIONS == {"$ref"}:
                rule = self.resolve(rule["$ref"], f"{path}/$ref")[1]
        rest = out.get("additionalProperties", True)
        if rule is True or "properties" in out or "patternProperties" in out:
            if rule is True:
                return {}
            refuse(path, "cannot be kept beside properties", "Use patternProperties.")
        if not isinstance(rule, dict):
            refuse(path, "cannot be kept", "Use an enum or a pattern.")
        check_keys(rule, path)
        said = set(rule) - ANNOTATIONS - {"type"}
        fixed = rule.get("enum", [rule["const"]] if "const" in rule else None)
        if said in ({"enum"}, {"const"}) and all(isinstance(name, str) for name in fixed or []):
            constants(rule, path)
            return {"properties": dict.fromkeys(fixed or [], rest), "additionalProperties": False}
        parts = strings(rule, path)
        if said <= {"pattern", "format"} and len(parts) == 1:
            pattern = parts[0]["pattern"]
            return {"patternProperties": {pattern: rest}, "additionalProperties": False}
        if said:
            refuse(path, "cannot be kept", "Use an enum or a pattern alone.")
        return {}

    def property_counts(self, node: Node, out: Node, path: str, *, closed: bool) -> Node:
        """``minProperties`` and ``maxProperties``, where they say more than ``required``.

        llguidance may repeat a key that is not named, so it cannot count two of them.
        """
        found = counts(node, path, "minProperties", "maxProperties")
        least, most = found.get("minProperties", 0), found.get("maxProperties")
        required = len(out.get("required", ()))
        if most is not None and most < required:
            refuse(f"{path}/maxProperties", f"{most} is less than the {required} required ones")
        closed = closed and "patternProperties" not in out
        if closed and least > len(out.get("properties", ())):
            refuse(f"{path}/minProperties", f"{least} is more than there are properties")
        if least <= required:
            found.pop("minProperties", None)
        elif not closed and least - required > 1:
            refuse(f"{path}/minProperties", "more than one unnamed property cannot be counted")
        return found

    # References ---------------------------------------------------------------------------

    def reference(self, target: Any, path: str, *, loose: bool) -> Schema:
        pointer, node = self.resolve(target, path)
        return {"$ref": f"#/$defs/{self.define(node, f'{self.where} {pointer}', loose=loose)}"}

    def define(self, node: Schema, path: str, *, loose: bool) -> str:
        key = (id(node), loose)
        if key not in self.known or isinstance(node, bool):
            name = self.known[key] = f"d{len(self.paths)}"
            self.paths[name] = path
            self.queue.append((name, node))
            if loose:
                self.loose.add(name)
        return self.known[key]

    def resolve(self, target: Any, path: str) -> tuple[str, Schema]:
        """The pointer and the schema that a ``$ref`` within this document means."""
        if not isinstance(target, str) or not target.startswith("#"):
            refuse(path, f"{target!r} is outside this schema", "Put it under $defs, use #/$defs/.")
        fragment = unquote(target[1:])
        if fragment and not fragment.startswith("/"):
            for pointer, node in graph.walk(self.root):
                if isinstance(node, dict) and node.get("$anchor") == fragment:
                    return pointer, node
            refuse(path, f"there is no $anchor {fragment!r}", "Define it under $defs.")
        found: Any = self.root
        for step in fragment.split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and step.isdecimal() and int(step) < len(found):
                found = found[int(step)]
            elif isinstance(found, dict) and step in found:
                found = found[step]
            else:
                refuse(path, f"{target!r} leads nowhere", "Define it under $defs.")
        if not isinstance(found, (dict, bool)):
            refuse(path, f"{target!r} is not a schema", "Define it under $defs.")
        return fragment, found

    # The whole ----------------------------------------------------------------------------

    def survey(self, node: Node) -> _Survey:
        """What ``node`` and the schemas it applies to its value say."""
        found = _Survey()
        seen: set[int] = set()
        stack: list[Any] = [node]
        while stack:
            node = stack.pop()
            if not isinstance(node, dict) or id(node) in seen:
                continue
            seen.add(id(node))
            found.names |= dict.fromkeys((*node.get("properties", ()), *node.get("required", ())))
            found.families |= {FAMILY[key] for key in node if key in FAMILY}
            found.typed |= "type" in node
            found.fixed |= "const" in node or "enum" in node
            found.open |= node.get("additionalProperties", False) is not False
            found.open |= "patternProperties" in node or "propertyNames" in node
            for key in ("oneOf", "anyOf", "allOf"):
                stack += reversed(node.get(key, ()))
            if "$ref" in node:
                stack.append(self.resolve(node["$ref"], "")[1])
        return found


def _joined(parts: list[Node]) -> Schema:
    if len(parts) > 1:
        return {"allOf": parts}
    return parts[0] if parts else True


def _narrowed(node: Node, own: list[Node]) -> Schema:
    """``own`` as one schema: of the one type it is about, and closed (see the module)."""
    if not own:
        return True
    head = own[0]
    if {"const", "enum"} & head.keys():
        return _joined(own)
    if "type" not in head:
        families = {FAMILY[key] for key in node if key in FAMILY}
        families |= {"string"} if node.get("format") in FORMATS else set()
        if len(families) == 1:
            head = {"type": families.pop(), **head}
    if "additionalProperties" not in head and {"properties", "patternProperties"} & head.keys():
        named = head.get("properties", {})
        missing = {name: True for name in head.get("required", ()) if name not in named}
        head = {**head, "properties": named | missing, "additionalProperties": False}
    return _joined([head, *own[1:]])


def _is_one(key: str, node: Node) -> bool:
    return key != "allOf" or (isinstance(node[key], list) and len(node[key]) == 1)


def _json_levels(node: Any) -> int:
    return max(pointer.count("/") for pointer, _ in graph.walk(node))
