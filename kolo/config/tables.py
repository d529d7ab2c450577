"""Values out of the tables of the file, each with the line it stood on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from kolo.config.keys import LEAVES, MODEL_LEAVES, is_path, is_secret
from kolo.config.problems import Problem, unknown_key
from kolo.toml import Document
from kolo.types import Lora
from kolo.values import convert


class Value(Struct, frozen=True):
    value: Any
    origin: str


class Layer(Struct, frozen=True):
    """What one source says."""

    values: dict[str, Value]
    models: dict[str, dict[str, Value]]
    """Model to its own keys."""
    places: dict[str, str] = {}
    """Model to where its table begins."""


class Reader:
    """Reads the tables of a document and keeps what is wrong with them."""

    def __init__(self, document: Document, problems: list[Problem]) -> None:
        self._document = document
        self._problems = problems

    def layer(self, table: Mapping[str, Any], where: tuple[str, ...] = ()) -> Layer:
        """Of the whole file, or of a profile; ``where`` leads to the table."""
        plain = {name: value for name, value in table.items() if name not in ("models", "profiles")}
        if where and "profiles" in table:
            self._complain((*where, "profiles"), "a profile has no profiles of its own")
        values = dict(self._values(plain, LEAVES, where))
        models: dict[str, dict[str, Value]] = {}
        places: dict[str, str] = {}
        for name, model in self.tables(table, (*where, "models")):
            here = (*where, "models", name)
            models[name] = dict(self._values(model, MODEL_LEAVES, here))
            places[name] = self._document.origin(here)
        return Layer(values, models, places)

    def tables(
        self, table: Mapping[str, Any], where: tuple[str, ...]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """The named tables that ``where`` leads to: models or profiles."""
        found = table.get(where[-1], {})
        if not isinstance(found, dict):
            self._complain(where, f"{where[-1]} must be a table, found {found!r}")
            return
        for name, each in found.items():
            if isinstance(each, dict):
                yield name, each
            else:
                shown = ".".join((*where, name))
                self._complain((*where, name), f"{shown}: expected a table, found {each!r}")

    def _values(
        self,
        table: Mapping[str, Any],
        leaves: Mapping[str, Any],
        where: tuple[str, ...],
        prefix: str = "",
    ) -> Iterator[tuple[str, Value]]:
        """Converted values of ``table`` by their key in ``leaves``."""
        for name, raw in table.items():
            key = prefix + name
            here = (*where, name)
            shown = ".".join(here)
            if key in leaves:
                yield from self._value(key, raw, leaves[key], here)
            elif any(leaf.startswith(f"{key}.") for leaf in leaves):
                if isinstance(raw, dict):
                    yield from self._values(raw, leaves, here, f"{key}.")
                else:
                    self._complain(here, f"{shown}: expected a table, found {raw!r}")
            elif leaves is MODEL_LEAVES and isinstance(raw, dict) and not prefix:
                hint = f'If the name has a dot, quote it: [models."{where[-1]}.{name}"]'
                self._complain(here, f"{shown} is a table", hint)
            else:
                above = shown[: len(shown) - len(key)]
                place = self._document.origin(here)
                self._problems.append(unknown_key(shown, place, key, leaves, above))

    def _value(
        self, key: str, raw: Any, kind: Any, here: tuple[str, ...]
    ) -> Iterator[tuple[str, Value]]:
        try:
            value = convert(raw, kind)
            if is_path(key):
                value = placed(value, self._document.file.parent)
        except ValueError as error:
            found = "" if is_secret(key) else f", found {raw!r}"
            self._complain(here, f"{'.'.join(here)}: {error}{found}")
            return
        origin = self._document.origin(here)
        if here[0] == "profiles":
            origin += f" (profile {here[1]})"
        yield key, Value(value, origin)

    def _complain(self, here: tuple[str, ...], what: str, hint: str = "") -> None:
        place = self._document.origin(here)
        self._problems.append(Problem(place, what, hint, ".".join(here)))


def placed(value: Any, folder: Path) -> Any:
    """Paths made whole: ``~`` is the home folder, a relative one is below ``folder``.

    ValueError for the home of somebody who is not known.
    """
    if isinstance(value, list):
        return [placed(each, folder) for each in value]
    if isinstance(value, Lora):
        return replace(value, path=placed(value.path, folder))
    if not value or value == "off":
        return value
    try:
        return str((folder / Path(value).expanduser()).absolute())
    except RuntimeError as error:
        raise ValueError(f"expected a path ({error})") from None
