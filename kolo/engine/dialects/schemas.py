"""Grammar of values that are not JSON: raw text, Python's notation, Gemma's.

llguidance enforces a schema on JSON only, so the constraints on strings, and for Gemma those on
objects and lists too, are turned into Lark here. What cannot be turned is refused; ``format``
is taken for the annotation that JSON Schema calls it.
"""

from __future__ import annotations

import json
import re
from typing import Any

from kolo.engine.dialects.lark import Lark, sequence
from kolo.engine.dialects.loose import GEMMA_QUOTE
from kolo.engine.dialects.typed import kind_of, parameters_of, resolve
from kolo.errors import BadGrammar
from kolo.types import Function

_DEFINITIONS = ("$defs", "definitions")
_UNSUPPORTED = (
    "contains",
    "dependentRequired",
    "dependentSchemas",
    "if",
    "maxProperties",
    "minProperties",
    "not",
    "patternProperties",
    "prefixItems",
    "propertyNames",
    "uniqueItems",
)
_DEEPEST = 32
_ENDS = re.compile(r"(?<!\\)(?:\\\\)*\$\Z")
_WITHOUT_COUNTERPART = re.compile(r"[\^$]|\(\?(?:=|!|<[=!])")
"""Of a pattern without escapes and classes: anchors inside it and looks around."""
_ALTERNATIVES = ("anyOf", "oneOf")
_BARE_KEY = re.compile(r"[A-Za-z_][\w.-]*")


def embedded(schema: Any, root: dict[str, Any]) -> dict[str, Any]:
    """A schema from inside ``root``, with the definitions it may refer to."""
    if schema is True or schema is None:
        schema = {}
    if not isinstance(schema, dict):
        raise _refused(f"the schema {json.dumps(schema)}")
    return schema | {name: root[name] for name in _DEFINITIONS if name in root}


def parameter_list(function: Function) -> tuple[dict[str, Any], list[tuple[str, Any, bool]]]:
    """The tool's schema, and its parameters: name, schema, required.

    BadGrammar if the schema is more than a list of parameters.
    """
    root = parameters_of(function)
    for keyword in (*_UNSUPPORTED, *_ALTERNATIVES, "allOf", "$ref"):
        if root.get(keyword):
            raise _refused(f"the keyword {keyword!r}")
    return root, listed_properties(root)


def listed_properties(schema: dict[str, Any]) -> list[tuple[str, Any, bool]]:
    """An object's properties: name, schema, required."""
    properties = schema.get("properties") or {}
    required = schema.get("required") or []
    unlisted = [name for name in required if name not in properties]
    every = properties | dict.fromkeys(unlisted, schema.get("additionalProperties", {}))
    return [(name, value, name in required) for name, value in every.items()]


def takes_any(schema: dict[str, Any]) -> bool:
    """An object that lists no properties may have any."""
    return "properties" not in schema and schema.get("additionalProperties") is not False


# Strings ------------------------------------------------------------------------------------


def string_branches(schema: Any, root: dict[str, Any], depth: int = 0) -> list[dict[str, Any]]:
    """The ways a schema admits a string, alternatives and references resolved."""
    if not isinstance(schema, dict):
        return [{}]
    if depth > _DEEPEST:
        raise _refused("a schema that refers to itself without an end")
    if "$ref" in schema:
        return string_branches(resolve(schema["$ref"], root), root, depth + 1)
    for name in _ALTERNATIVES:
        if name in schema:
            found = [one for one in schema[name] if kind_of(one, root) != "json"]
            return [branch for one in found for branch in string_branches(one, root, depth + 1)]
    if "allOf" in schema:
        merged: dict[str, Any] = {}
        for one in schema["allOf"]:
            merged |= one if isinstance(one, dict) else {}
        return string_branches(merged, root, depth + 1)
    return [schema]


def string_literals(branch: dict[str, Any]) -> list[str] | None:
    """The strings a branch lists, or None if it lists none and any string may do."""
    if "const" in branch:
        return [branch["const"]] if isinstance(branch["const"], str) else []
    if "enum" in branch:
        return [value for value in branch["enum"] if isinstance(value, str)]
    return None


def string_pattern(branch: dict[str, Any]) -> str:
    """A terminal's expression for a branch's length and pattern; empty if it has neither."""
    found = []
    shortest, longest = branch.get("minLength"), branch.get("maxLength")
    if shortest is not None or longest is not None:
        found.append(f"/(?s:.{{{shortest or 0},{'' if longest is None else longest}}})/")
    if branch.get("pattern"):
        found.append(_searched(branch["pattern"]))
    return " & ".join(found)


def _searched(pattern: str) -> str:
    """JSON Schema's pattern, which may match anywhere, as one that matches the whole text."""
    begins, ends = pattern.startswith("^"), _ENDS.search(pattern) is not None
    body = pattern[begins : len(pattern) - ends]
    escapes = {escape[1] for escape in re.findall(r"\\.", body, re.DOTALL)}
    bare = re.sub(r"\[[^\]]*\]", "", re.sub(r"\\.", "", body, flags=re.DOTALL))
    top_level = bare
    while (inner := re.sub(r"\([^()]*\)", "", top_level)) != top_level:
        top_level = inner
    if (
        _WITHOUT_COUNTERPART.search(bare)
        or escapes & set("bB123456789")
        or ((begins or ends) and "|" in top_level)
    ):
        raise _refused(f"the pattern {pattern!r}")
    slashed = re.sub(r"(?<!\\)((?:\\\\)*)/", r"\1\\/", body).replace("\n", r"\n")
    any_text = "(?s:.*)"
    return f"/{'' if begins else any_text}(?:{slashed}){'' if ends else any_text}/"


# Raw text -----------------------------------------------------------------------------------


def raw_value(
    lark: Lark, schema: Any, root: dict[str, Any], close: str, *, lines: bool
) -> tuple[str, bool]:
    """An expression of a value between tags, closing tag included, and whether it is text."""
    newline = "\n" if lines else ""
    ending = lark.text(newline + close)
    if kind_of(schema, root) == "json":
        return f"{lark.json(embedded(schema, root))} {ending}", False
    found: list[str] = []
    for branch in string_branches(schema, root):
        literals = string_literals(branch)
        if literals is not None:
            found += [f"{lark.text(literal)} {ending}" for literal in literals]
            continue
        within = string_pattern(branch)
        if within and lines:
            within = f'({within}) "\\n"'
        found.append(lark.free(close, within))
    return lark.one_of(found), True


# Python's notation --------------------------------------------------------------------------


def python_value(lark: Lark, schema: Any, root: dict[str, Any]) -> str:
    """JSON's notation, or Python's for plain strings, booleans and None."""
    found = [lark.json(embedded(schema, root))]
    types = schema.get("type") if isinstance(schema, dict) else None
    listed = types if isinstance(types, list) else [types]
    if isinstance(schema, dict) and not {"enum", "const", *_ALTERNATIVES} & schema.keys():
        if "boolean" in listed:
            found += ['"True"', '"False"']
        if "null" in listed:
            found.append('"None"')
    if kind_of(schema, root) != "json":
        for branch in string_branches(schema, root):
            found += _single_quoted(lark, branch)
    return lark.one_of(found)


def _single_quoted(lark: Lark, branch: dict[str, Any]) -> list[str]:
    literals = string_literals(branch)
    if literals is not None:
        plain = [one for one in literals if not re.search(r"['\\\n]", one)]
        return [lark.text(f"'{one}'") for one in plain]
    if branch.get("pattern"):
        return []
    shortest, longest = branch.get("minLength", 0), branch.get("maxLength", "")
    return [lark.add(f"/'[^'\\\\\\n]{{{shortest},{longest}}}'/", terminal=True)]


# Gemma's notation ---------------------------------------------------------------------------


class GemmaValues:
    """``{key:<|"|>text<|"|>,other:[1,2]}``: values of one tool's schema."""

    def __init__(self, lark: Lark, root: dict[str, Any]) -> None:
        self._lark = lark
        self._root = root
        self._references: dict[str, str] = {}
        self._any = ""

    def value(self, schema: Any) -> str:
        """An expression of a value of ``schema``."""
        if schema is True or schema is None or schema == {}:
            return self._anything()
        if not isinstance(schema, dict):
            raise _refused(f"the schema {json.dumps(schema)}")
        if "$ref" in schema:
            return self._reference(schema["$ref"])
        for keyword in _UNSUPPORTED:
            if schema.get(keyword):
                raise _refused(f"the keyword {keyword!r}")
        if "allOf" in schema:
            return self._all_of(schema)
        for name in _ALTERNATIVES:
            if name in schema:
                rest = {key: value for key, value in schema.items() if key != name}
                return self._lark.one_of(self.value(rest | one) for one in schema[name])
        if "const" in schema or "enum" in schema:
            values = [schema["const"]] if "const" in schema else schema["enum"]
            return self._lark.one_of(self._lark.text(gemma_text(value)) for value in values)
        types = schema.get("type", "object" if "properties" in schema else None)
        if types is None:
            return self._anything()
        listed = types if isinstance(types, list) else [types]
        if schema.get("nullable") is True:
            listed = [*listed, "null"]
        return self._lark.one_of(self._typed(schema, one) for one in listed)

    def members(self, schema: dict[str, Any]) -> str:
        """An expression of what is between an object's braces; may be empty."""
        listed = listed_properties(schema)
        if not listed and takes_any(schema):
            one = f'{self._key()} ":" {self.value(schema.get("additionalProperties"))}'
            member = self._lark.add(one)
            return f'({member} ("," {member})*)?'
        items = [
            (self._lark.add(f"{self._named(key)} {self.value(value)}"), required)
            for key, value, required in sorted(listed, key=lambda item: item[0].lower())
        ]
        return sequence(items, '","', self._lark)

    def _typed(self, schema: dict[str, Any], kind: str) -> str:
        if kind == "string":
            return self._string(schema)
        if kind == "array":
            return self._array(schema)
        if kind == "object":
            return f'"{{" {self.members(schema)} "}}"'
        plain = {key: value for key, value in schema.items() if key != "nullable"}
        return self._lark.json(plain | {"type": kind})

    def _string(self, schema: dict[str, Any]) -> str:
        text = self._lark.free(GEMMA_QUOTE, string_pattern(schema))
        return f"{self._lark.text(GEMMA_QUOTE)} {text}"

    def _array(self, schema: dict[str, Any]) -> str:
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        if most == 0:
            return '"[" "]"'
        item = self._lark.add(self.value(schema.get("items")))
        bounds = f"{{{max(least - 1, 0)},{'' if most is None else most - 1}}}"
        items = f'{item} ("," {item}){bounds}'
        return f'"[" {items if least else f"({items})?"} "]"'

    def _all_of(self, schema: dict[str, Any]) -> str:
        rest = {key: value for key, value in schema.items() if key != "allOf"}
        if len(schema["allOf"]) != 1:
            raise _refused("the keyword 'allOf' with several schemas")
        return self.value(rest | schema["allOf"][0])

    def _reference(self, ref: str) -> str:
        found = resolve(ref, self._root)
        if found is None:
            raise _refused(f"the reference {ref!r}")
        if ref not in self._references:

            def body(name: str) -> str:
                self._references[ref] = name
                return self.value(found)

            self._lark.recursive(body)
        return self._references[ref]

    def _anything(self) -> str:
        if not self._any:

            def body(name: str) -> str:
                self._any = name
                member = f'{self._key()} ":" {name}'
                scalar = self._lark.json({"type": ["number", "boolean", "null"]})
                return (
                    f"{self._string({})} | {scalar}"
                    f' | "[" ({name} ("," {name})*)? "]" | "{{" ({member} ("," {member})*)? "}}"'
                )

            self._lark.recursive(body)
        return self._any

    def _key(self) -> str:
        return self._lark.add("/[A-Za-z_][A-Za-z0-9_]{0,63}/", terminal=True)

    def _named(self, key: str) -> str:
        return self._lark.text(f"{_gemma_key(key)}:")


def gemma_text(value: Any) -> str:
    """A value as Gemma's template writes it."""
    if isinstance(value, str):
        return f"{GEMMA_QUOTE}{value}{GEMMA_QUOTE}"
    if isinstance(value, dict):
        members = (
            f"{_gemma_key(key)}:{gemma_text(value[key])}" for key in sorted(value, key=str.lower)
        )
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(gemma_text, value)) + "]"
    return json.dumps(value)


def _gemma_key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else f"{GEMMA_QUOTE}{key}{GEMMA_QUOTE}"


def _refused(what: str) -> BadGrammar:
    return BadGrammar(
        f"{what} of a tool's parameters cannot be enforced in this model's call format",
        hint="simplify the tool's schema, or send tool_choice 'auto'",
        param="tools",
    )
