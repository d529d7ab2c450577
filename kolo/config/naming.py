"""A key as a person names it, and where in the file it stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from kolo.config.keys import LEAVES, MODEL_LEAVES
from kolo.config.problems import nearest_key
from kolo.errors import BadParameter
from kolo.toml import Keys, dotted, shown_key


class Key(Struct, frozen=True):
    """One key of the file, perhaps of a model or within a profile."""

    path: Keys
    """Its place in the file: ``("models", "qwen2.5", "ctx")``."""
    kind: Any
    own: str
    """The key in its own table: ``ctx``, ``sampling.top_k``; or ``engine.ctx``."""
    model: str = ""
    profile: str = ""

    @property
    def name(self) -> str:
        """As it is called in ``Settings.origins``: without the profile."""
        return f"models.{self.model}.{self.own}" if self.model else self.own

    @property
    def shown(self) -> str:
        """As it would be written in the file."""
        return shown_key(self.path)


def find_key(text: str) -> Key:
    """The key that ``text`` names; BadParameter with the nearest if there is none.

    ``engine.ctx``, ``models.qwen2.5.ctx`` (quotes around a name may be left out), and either with
    ``profiles.NAME.`` before it.
    """
    profile, rest = "", text
    if text.startswith("profiles."):
        parts = dotted(text)
        profile = parts[1] if len(parts) > 2 else ""
        rest = text[len("profiles.") + len(shown_key((profile,))) + 1 :] if profile else ""
        if not rest or not text.startswith(f"profiles.{shown_key((profile,))}."):
            raise BadParameter(f"no such setting: {text}", hint="profiles.NAME.engine.ctx")
    above: Keys = ("profiles", profile) if profile else ()
    if rest.startswith("models."):
        model, own = _split_model(rest, text)
        path = (*above, "models", model, *own.split("."))
        return Key(path, MODEL_LEAVES[own], own, model, profile)
    if rest not in LEAVES:
        raise _no_such_key(text, rest)
    return Key((*above, *rest.split(".")), LEAVES[rest], rest, profile=profile)


def _split_model(rest: str, text: str) -> tuple[str, str]:
    """The name of a model, which may have dots, and the key after it."""
    inside = rest.removeprefix("models.")
    found = [leaf for leaf in MODEL_LEAVES if inside.endswith(f".{leaf}")]
    if not found:
        parts = dotted(rest)
        own = ".".join(parts[2:]) or inside.rpartition(".")[2]
        raise _no_such_key(text, own, "models.NAME.", MODEL_LEAVES)
    own = max(found, key=len)
    name = inside[: -len(own) - 1]
    parts = dotted(name)
    return (parts[0] if len(parts) == 1 else name), own


def _no_such_key(
    text: str, key: str, above: str = "", known: Mapping[str, Any] = LEAVES
) -> BadParameter:
    near = nearest_key(key, known)
    if key in ("models", "profiles"):
        hint = f"{key}.NAME.{'ctx' if key == 'models' else 'engine.ctx'}"
    elif near and near not in known:
        hint = f"kolo config show {near}"
    else:
        hint = f"Did you mean {above}{near}?" if near else "kolo config show lists all."
    return BadParameter(f"no such setting: {text}", hint=hint)
