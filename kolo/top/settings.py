"""Settings as rows: key, value, and where the value came from."""

from __future__ import annotations

from typing import Any

import msgspec

from kolo.config import Settings, known_keys, known_model_keys
from kolo.units import Budget

_SECRET = ("key", "secret", "password", "token")


def shown_settings(settings: Settings) -> list[tuple[str, str, str]]:
    """Every key of the schema, in its order, and those of each ``[models.NAME]`` that are set.
    What may be secret is not shown."""
    rows = [(key, _text(key, _value(settings, key)), settings.origin(key)) for key in known_keys()]
    for name in settings.models:
        for key in known_model_keys():
            full = f"models.{name}.{key}"
            if full in settings.origins:
                value = _model_value(settings, name, key)
                rows.append((full, _text(key, value), settings.origins[full]))
    return rows


def _value(settings: Settings, key: str) -> Any:
    found: Any = settings
    for part in key.split("."):
        fields = {field.encode_name: field.name for field in msgspec.structs.fields(found)}
        found = getattr(found, fields[part])
    return found


def _model_value(settings: Settings, name: str, key: str) -> Any:
    model = settings.models[name]
    own = {"path": model.path, "aliases": list(model.aliases), "pin": model.pin,
           "ttl": model.ttl_s, "description": model.description}  # fmt: skip
    if key in own:
        return own[key]
    found: Any = model.params
    for part in key.split("."):
        found = getattr(found, part)
    return found


def _text(key: str, value: Any) -> str:
    if value is None or value == "":
        return "unset"
    if value and any(word in key.rpartition(".")[2] for word in _SECRET):
        return "(set)"
    if isinstance(value, Budget):
        return f"{value.share:.0%}" if value.share else f"{value.n_bytes}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple, dict)):
        return msgspec.json.encode(value).decode() if value else ""
    return f"{value:g}" if isinstance(value, float) else str(value)
