"""What is different between two readings of the settings."""

from __future__ import annotations

from kolo.config.keys import LEAVES
from kolo.config.rows import value_of
from kolo.config.schema import Settings


def changed_keys(old: Settings, new: Settings) -> list[str]:
    """Dotted keys whose values differ, in the schema's order; then ``models.NAME`` for each model
    that came, went or is another in any way."""
    keys = [key for key in LEAVES if value_of(old, key) != value_of(new, key)]
    names = dict.fromkeys((*old.models, *new.models))
    return keys + [
        f"models.{name}" for name in names if old.models.get(name) != new.models.get(name)
    ]
