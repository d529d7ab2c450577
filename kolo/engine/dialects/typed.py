"""Parameters written as bare text: what a value is, by the tool's schema.

Where calls are tags around raw values, ``5`` may be a number or a string; only the schema
can tell. A parameter that may be a string is one; any other is read as JSON, as Python's
notation where it is not JSON, and as text where it is neither.
"""

from __future__ import annotations

import ast
import json
from typing import Any, Literal

from kolo.types import Function

Kind = Literal["text", "json", "any"]

_BRANCHES = ("anyOf", "oneOf", "allOf")


def parameters_of(function: Function) -> dict[str, Any]:
    """The tool's schema, an object's; any object where the tool has none."""
    return {"type": "object"} | (function.parameters or {})


def parameter_kind(function: Function, key: str) -> Kind:
    """How the value of the parameter ``key`` is to be read."""
    root = parameters_of(function)
    properties = root.get("properties")
    schema = properties.get(key) if isinstance(properties, dict) else None
    if schema is None:
        schema = root.get("additionalProperties")
    return kind_of(schema, root)


def kind_of(schema: Any, root: dict[str, Any]) -> Kind:
    """``text`` if the schema admits strings, ``json`` if it excludes them, else ``any``."""
    return _kind(schema, root, 0)


def _kind(schema: Any, root: dict[str, Any], depth: int) -> Kind:
    if not isinstance(schema, dict) or depth > 16:
        return "any"
    if "$ref" in schema:
        return _kind(resolve(schema["$ref"], root), root, depth + 1)
    if "type" in schema:
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        return "text" if "string" in types else "json"
    values = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if isinstance(values, list):
        return "text" if any(isinstance(value, str) for value in values) else "json"
    for name in _BRANCHES:
        if isinstance(schema.get(name), list):
            kinds = {_kind(branch, root, depth + 1) for branch in schema[name]}
            return "text" if "text" in kinds else "any" if "any" in kinds else "json"
    return "any"


def resolve(ref: Any, root: dict[str, Any]) -> Any:
    """The schema that a reference inside ``root`` points to, or None."""
    if not isinstance(ref, str) or not ref.startswith("#"):
        return None
    found: Any = root
    for part in filter(None, ref[1:].split("/")):
        key = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, dict) or key not in found:
            return None
        found = found[key]
    return found


def json_of(raw: str, kind: Kind, *, nullable: bool = False) -> str:
    """The raw text of a value as JSON text."""
    text = raw.strip()
    if kind == "text" and not (nullable and text in ("null", "None")):
        return json.dumps(raw, ensure_ascii=False)
    try:
        value = json.loads(text, parse_constant=_refuse)
        return json.dumps(raw, ensure_ascii=False) if _stays_text(value, kind) else text
    except (ValueError, RecursionError):
        return _from_python(raw, text, kind)


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _stays_text(value: object, kind: Kind) -> bool:
    """Strings are written without quotes, so quotes are part of the string."""
    return kind == "any" and isinstance(value, str)


def _from_python(raw: str, text: str, kind: Kind) -> str:
    if kind == "json" and text.lower() in ("true", "false"):
        return text.lower()
    try:
        value = ast.literal_eval(text)
        if not _stays_text(value, kind):
            return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        pass
    return json.dumps(raw, ensure_ascii=False)


def is_nullable(function: Function, key: str) -> bool:
    """The parameter may be null."""
    properties = parameters_of(function).get("properties")
    schema = properties.get(key) if isinstance(properties, dict) else None
    if not isinstance(schema, dict):
        return False
    types = schema.get("type")
    listed = types if isinstance(types, list) else [types]
    branches = [*schema.get("anyOf", []), *schema.get("oneOf", [])]
    return (
        schema.get("nullable") is True
        or "null" in listed
        or None in schema.get("enum", [])
        or any(isinstance(branch, dict) and branch.get("type") == "null" for branch in branches)
    )
