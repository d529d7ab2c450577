"""What is wrong with settings: all of it at once, each with its place and what may be meant."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from msgspec import Struct

from kolo.config.keys import is_secret
from kolo.errors import ConfigError


class Problem(Struct, frozen=True):
    """One thing that is wrong."""

    place: str
    """``FILE:LINE``, ``FILE``, ``env NAME`` or ``flag --NAME``."""
    what: str
    hint: str = ""
    key: str | None = None
    """The dotted key, or the variable, that it is about."""

    def __str__(self) -> str:
        if not self.hint:
            return f"{self.place}: {self.what}"
        hint = self.hint[:1].lower() + self.hint[1:] if self.hint[1:2].islower() else self.hint
        return f"{self.place}: {self.what} ({hint.rstrip('.')})"


def as_error(problems: list[Problem]) -> ConfigError:
    """One error that names them all. There must be one at least."""
    if len(problems) == 1:
        (only,) = problems
        hint = only.hint or _where_to_look(problems)
        return ConfigError(f"{only.place}: {only.what}", hint=hint, param=only.key)
    lines = [f"{len(problems)} settings are wrong", *map(str, problems)]
    return ConfigError("\n".join(lines), hint=_where_to_look(problems))


def _where_to_look(problems: Iterable[Problem]) -> str:
    in_file = any(not problem.place.startswith(("env ", "flag ")) for problem in problems)
    in_env = any(problem.place.startswith("env ") for problem in problems)
    return "kolo config edit" if in_file else "kolo help env" if in_env else "kolo serve --help"


def unknown_key(shown: str, place: str, key: str, known: Collection[str], above: str) -> Problem:
    """The problem of a ``key`` that is not ``known``, with the nearest, which is below ``above``
    (empty, or with a dot at its end)."""
    near = nearest_key(key, known)
    hint = f"Did you mean {above}{near}?" if near else "kolo config show lists all."
    return Problem(place, f"no such setting: {shown}", hint, shown)


def nearest_key(key: str, known: Collection[str]) -> str:
    """The key or section most like it, or a key that ends in the same word; empty for none."""
    near = nearest(key, [*known, *dict.fromkeys(each.rpartition(".")[0] for each in known)])
    last = key.rpartition(".")[2]
    return near or next((each for each in known if each.rpartition(".")[2] == last), "")


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The one of ``known`` most like ``name``; empty if none is like it."""
    import difflib  # needed only when something is wrong

    return next(iter(difflib.get_close_matches(name, filter(None, known), n=1, cutoff=cutoff)), "")


_IN_URL = re.compile(r"(?<=://)([^/@\s]*):[^/@\s]+@")
MASK = "********"


def masked(key: str, value: object) -> object:
    """``value`` without what is secret: texts of a key that is, passwords in addresses."""
    if isinstance(value, str):
        if value and is_secret(key):
            return MASK
        return _IN_URL.sub(rf"\1:{MASK}@", value)
    if isinstance(value, list):
        return [masked(key, each) for each in value]
    if isinstance(value, dict):
        return {name: masked(f"{key}.{name}", each) for name, each in value.items()}
    return value
