"""The schema of the settings file as JSON Schema (draft 7, which editors of TOML understand)."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import fields

from kolo.config.environment import variable_of
from kolo.config.example import descriptions
from kolo.config.keys import LEAVES, is_secret
from kolo.config.rows import value_of
from kolo.config.schema import ModelKeys, Settings
from kolo.types import LoadParams, Lora
from kolo.units import Budget, Bytes, Seconds
from kolo.values import custom_kind, plain

DRAFT = "http://json-schema.org/draft-07/schema#"
_DURATION: dict[str, Any] = {
    "type": ["string", "number"],
    "pattern": r"^\s*([0-9]+(\.[0-9]+)?|([0-9]+(\.[0-9]+)?\s*(ms|s|m|h|d)\s*)+)\s*$",
    "minimum": 0,
}
_SIZE: dict[str, Any] = {
    "type": ["string", "integer"],
    "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*([kKmMgGtT][iI]?)?[bB]?\s*$",
    "minimum": 0,
}
_BUDGET: dict[str, Any] = {
    "type": ["string", "integer"],
    "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*(([kKmMgGtT][iI]?)?[bB]?|%)\s*$",
    "minimum": 1,
}
_CUSTOM = {Seconds: _DURATION, Bytes: _SIZE, Budget: _BUDGET}
_UNWRITTEN = ("models", "file", "origins")


def json_schema() -> dict[str, Any]:
    """What may stand in the file, with what each key is for and its default."""
    root = _table(Settings, ())
    model = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            **_table(ModelKeys, ("models", "example"))["properties"],
            **_table(LoadParams, ("engine",))["properties"],
        },
        "x-taplo": {"initKeys": ["path"]},
    }
    sections = {name: each for name, each in root["properties"].items() if "properties" in each}
    refs = {name: {"$ref": f"#/definitions/{name}"} for name in sections}
    about = descriptions()
    in_profile = {
        **{name: each for name, each in root["properties"].items() if name != "profile"},
        **refs,
        "models": _named(model_ref := {"$ref": "#/definitions/model"}, ""),
    }
    profile = {"type": "object", "additionalProperties": False, "properties": in_profile}
    top = {
        **root["properties"],
        **refs,
        "models": _named({"allOf": [model_ref]}, "Models by name; a name with a dot is quoted."),
        "profiles": _named(profile, about[("profiles", "example")]),
    }
    return {
        "$schema": DRAFT,
        "title": "Settings of Kolo",
        "type": "object",
        "additionalProperties": False,
        "properties": top,
        "definitions": {**sections, "model": model, **_lora()},
    }


def encoded() -> str:
    """The schema as text, as it is kept in ``config.schema.json``."""
    return msgspec.json.format(msgspec.json.encode(json_schema()), indent=2).decode() + "\n"


def _table(cls: type[Struct], path: tuple[str, ...]) -> dict[str, Any]:
    properties = {}
    for item in fields(cls):
        if cls is Settings and item.name in _UNWRITTEN:
            continue
        here = (*path, item.encode_name)
        kind = item.type
        nested = isinstance(kind, type) and issubclass(kind, Struct) and custom_kind(kind) is None
        properties[item.encode_name] = _table(kind, here) if nested else _leaf(kind, here)
    table = {"type": "object", "additionalProperties": False, "properties": properties}
    about = descriptions().get(path)
    return {"description": about, **table} if about else table


def _leaf(kind: Any, path: tuple[str, ...]) -> dict[str, Any]:
    key = ".".join(path)
    schema = _without_null(_schema_of(kind))
    lines = [descriptions().get(path, "")]
    if key in LEAVES:
        lines.append(variable_of(key))
        default = plain(value_of(Settings(), key), kind)
        if default not in (None, "", "off"):
            schema["default"] = default
    if is_secret(key):
        schema["writeOnly"] = True
    return {"description": "\n\n".join(filter(None, lines)), **schema}


def _schema_of(kind: Any) -> dict[str, Any]:
    if (custom := custom_kind(kind)) is not None:
        return dict(_CUSTOM[custom])
    (schema,), _ = msgspec.json.schema_components((kind,), ref_template="#/definitions/{name}")
    return schema


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """TOML has no null: a key that is not to be set is left out."""
    options = schema.pop("anyOf", None)
    if options is not None:
        left = [option for option in options if option != {"type": "null"}]
        schema |= left[0] if len(left) == 1 else {"anyOf": left}
    if isinstance(schema.get("enum"), list):
        schema["enum"] = [each for each in schema["enum"] if each is not None]
    schema.pop("default", None)
    return schema


def _named(each: dict[str, Any], about: str) -> dict[str, Any]:
    table: dict[str, Any] = {"type": "object", "additionalProperties": each}
    return {"description": about, **table} if about else table


def _lora() -> dict[str, Any]:
    _, components = msgspec.json.schema_components((Lora,), ref_template="#/definitions/{name}")
    return components
