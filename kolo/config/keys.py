"""The schema as a flat table: dotted key to type."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import fields

from kolo.config.schema import ModelKeys, Settings
from kolo.types import LoadParams
from kolo.values import choices, holds

V = TypeVar("V")
_fields = cache(fields)
"""Types are evaluated from their text each time, which every command would pay for."""


def known_keys() -> list[str]:
    """Every dotted key but those of ``[models.NAME]`` tables."""
    return list(LEAVES)


def known_model_keys() -> list[str]:
    """Every dotted key of a ``[models.NAME]`` table."""
    return list(MODEL_LEAVES)


def build(cls: Any, values: Mapping[str, Any], prefix: str = "") -> Any:
    """``cls`` from values by dotted key; what is left out keeps its default."""
    given = {}
    for item in _fields(cls):
        key = prefix + item.encode_name
        if key in values:
            given[item.name] = values[key]
        elif any(other.startswith(f"{key}.") for other in values):
            given[item.name] = build(item.type, values, f"{key}.")
    return cls(**given)


def _leaves(cls: type[Struct], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for item in _fields(cls):
        key = prefix + item.encode_name
        if isinstance(item.type, type) and issubclass(item.type, Struct):
            yield from _leaves(item.type, f"{key}.")
        else:
            yield key, item.type


class Table(Mapping[str, V]):
    """A mapping that is made when it is first looked into, since most commands never do."""

    def __init__(self, make: Callable[[], Mapping[str, V]]) -> None:
        self._made = cache(make)

    def __getitem__(self, key: str) -> V:
        return self._made()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._made())

    def __len__(self) -> int:
        return len(self._made())


_INTERNAL = ("models", "file", "origins")
LEAVES: Mapping[str, Any] = Table(
    lambda: {key: kind for key, kind in _leaves(Settings) if key not in _INTERNAL}
)
"""Every key but those of ``[models.NAME]`` tables."""
LOAD_LEAVES: Mapping[str, Any] = Table(lambda: dict(_leaves(LoadParams)))
"""Those of ``[engine]``, without its name."""
MODEL_LEAVES: Mapping[str, Any] = Table(lambda: {**dict(_leaves(ModelKeys)), **LOAD_LEAVES})
"""Those of a ``[models.NAME]`` table."""
PATH_KEYS = frozenset(
    (
        "store.dir",
        "store.folders",
        "store.hub_cache",
        "server.socket",
        "server.tls_cert",
        "server.tls_key",
        "engine.draft_model",
        "engine.lora",
        "path",
    )
)
"""Keys that are paths: relative ones of the file are below its folder, others below the working
folder. ``path`` is that of a model."""

_SECRET_WORDS = frozenset(
    ("key", "keys", "apikey", "secret", "secrets", "password", "passwords", "token", "tokens")
)


def is_secret(key: str) -> bool:
    """Whether the text of a key is nobody's business, as its name says: ``api_key``, ``token``.

    A choice, a number or the path of a file is not.
    """
    if not set(key.rpartition(".")[2].split("_")) & _SECRET_WORDS or is_path(key):
        return False
    kind = LEAVES.get(key, MODEL_LEAVES.get(key, str))
    return holds(kind, str, list) and not any(choices(kind))


def is_path(key: str) -> bool:
    """Whether a key, of ``Settings`` or of a model's table, is a path or a list of paths."""
    return key in PATH_KEYS or f"engine.{key}" in PATH_KEYS
