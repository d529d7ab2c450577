"""Settings as rows: key, value, and where the value came from."""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct
from msgspec.structs import fields

from kolo.config.keys import LEAVES, MODEL_LEAVES, is_secret
from kolo.config.problems import masked
from kolo.config.schema import ModelSettings, Settings
from kolo.toml import shown_key
from kolo.values import plain


class Row(Struct, frozen=True, kw_only=True):
    """One key with the value that holds."""

    key: str
    """As it is written in the file: a model's name with a dot has quotes."""
    value: Any
    """As it would be written in the file; None is found out when it is needed."""
    origin: str
    """As ``Settings.origin``."""
    secret: bool = False


def rows(settings: Settings, *, reveal: bool = False) -> list[Row]:
    """Every key of the schema, in its order, and those of each ``[models.NAME]`` that are set.

    What is secret is masked unless ``reveal``.
    """
    found = [
        _row(key, key, kind, value_of(settings, key), settings.origin(key), reveal)
        for key, kind in LEAVES.items()
    ]
    for name, model in settings.models.items():
        for key, kind in MODEL_LEAVES.items():
            origin = settings.origins.get(f"models.{name}.{key}")
            if origin is not None:
                shown = f"{shown_key(('models', name))}.{key}"
                found.append(_row(shown, key, kind, model_value(model, key), origin, reveal))
    return found


def value_of(settings: Settings, key: str) -> Any:
    """The value of a dotted key of ``Settings``."""
    if key == "store.hub_cache" and not settings.store.hub_cache:
        return "off"
    return _value(settings, key)


def model_value(model: ModelSettings, key: str) -> Any:
    """The value of a key of ``[models.NAME]``, as it is after those of ``[engine]``."""
    if key == "ttl":
        return model.ttl_s
    return _value(model if key in ModelSettings.__struct_fields__ else model.params, key)


_ORIGIN = re.compile(r"(?P<file>.*?)(?::(?P<line>\d+))?(?: \(profile (?P<profile>.*)\))?", re.S)


def origin_parts(origin: str) -> dict[str, Any]:
    """An origin taken apart: ``source`` (default, env, flag or file) and what belongs to it."""
    source, _, name = origin.partition(" ")
    if source == "default" or (source in ("env", "flag") and name):
        return {"source": source, **({"name": name} if name else {})}
    found = _ORIGIN.fullmatch(origin)
    assert found is not None
    parts: dict[str, Any] = {"source": "file", "file": found["file"]}
    if found["line"]:
        parts["line"] = int(found["line"])
    if found["profile"]:
        parts["profile"] = found["profile"]
    return parts


def _row(key: str, own: str, kind: Any, value: Any, origin: str, reveal: bool) -> Row:
    written = plain(value, kind)
    return Row(
        key=key,
        value=written if reveal else masked(own, written),
        origin=origin,
        secret=is_secret(own),
    )


def _value(found: Any, key: str) -> Any:
    for part in key.split("."):
        names = {each.encode_name: each.name for each in fields(found)}
        found = getattr(found, names[part])
    return found
