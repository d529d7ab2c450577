"""Settings as rows of text: key, value, and where the value came from."""

from __future__ import annotations

from typing import Any

import msgspec

from kolo.config import Settings
from kolo.config.rows import rows


def shown_settings(settings: Settings) -> list[tuple[str, str, str]]:
    """Every key of the schema, in its order, and those of each ``[models.NAME]`` that are set.
    What may be secret is not shown."""
    return [(row.key, _text(row.value), row.origin) for row in rows(settings)]


def _text(value: Any) -> str:
    if value is None or value == "":
        return "unset"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, dict)):
        return msgspec.json.encode(value).decode() if value else ""
    return str(value)
