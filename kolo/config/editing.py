"""Changes to the text of a settings file that leave its comments and its order alone.

A key that stands there gets its value by tomlkit; a new one is put where a person would: below
the comment that shows it, or at the end of its section. Either way the result must say, as
``tomllib`` reads it, just what the text said before but for the one change.
"""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from kolo.errors import ConfigError
from kolo.toml import Keys, Statement, lines_of, shown_key, statements, written


def with_value(text: str, path: Keys, value: Any) -> str:
    """``text`` with ``value`` (text, number, truth, list or table) at ``path``.

    ConfigError where a table or value stands in the way.
    """
    before = tomllib.loads(text)
    wanted = copy.deepcopy(before)
    level = wanted
    for part in path[:-1]:
        level = level.setdefault(part, {})
        if not isinstance(level, dict):
            raise _in_the_way(path, part)
    if isinstance(level.get(path[-1]), dict) and not isinstance(value, dict):
        raise _in_the_way(path, path[-1])
    there = path[-1] in level
    level[path[-1]] = value
    candidates = () if there else _inserted(text, path, value)
    return _first_right(chain(candidates, _by_tomlkit(text, path, value)), wanted, path)


def without(text: str, path: Keys) -> str:
    """``text`` without the key or the table at ``path``; as it is if there is none."""
    wanted = tomllib.loads(text)
    level: Any = wanted
    for part in path[:-1]:
        level = level.get(part)
        if not isinstance(level, dict):
            return text
    if path[-1] not in level:
        return text
    del level[path[-1]]
    return _first_right(chain([_cut(text, path)], _by_tomlkit(text, path, None)), wanted, path)


def _first_right(candidates: Iterable[str], wanted: dict[str, Any], path: Keys) -> str:
    for candidate in candidates:
        try:
            if _pruned(tomllib.loads(candidate)) == _pruned(wanted):
                return candidate
        except tomllib.TOMLDecodeError:
            continue  # the next one may fit the way this file is written
    raise ConfigError(
        f"{shown_key(path)} cannot be changed in the way this file is written",
        hint="kolo config edit",
        param=shown_key(path),
    )


def _pruned(table: dict[str, Any]) -> dict[str, Any]:
    """Without empty tables: whether their headers stay is a matter of taste."""
    short = {k: _pruned(v) if isinstance(v, dict) else v for k, v in table.items()}
    return {key: value for key, value in short.items() if value != {}}


def _inserted(text: str, path: Keys, value: Any) -> Iterator[str]:
    """The text with a new line, in the places for it, the best first."""
    table, line = path[:-1], f"{shown_key(path[-1:])} = {written(value)}"
    found = [each for each in statements(text) if each.table == table]
    hints = [each for each in found if each.commented and each.key == path[-1:]]
    if hints:
        yield _put(text, hints[-1].last, [line])
    if real := [each for each in found if not each.commented]:
        yield _put(text, real[-1].last, [line])
    elif table:
        blank = [""] if text.strip() else []
        yield _put(
            text.rstrip("\r\n"), len(lines_of(text)), [*blank, f"[{shown_key(table)}]", line]
        )
    else:
        yield _put(text, _top(text), [line])


def _top(text: str) -> int:
    """After which line a first key belongs: after the comments that open the file, and before
    those of the first table."""
    lines = lines_of(text)
    first = next((each.first for each in statements(text) if not each.commented), len(lines) + 1)
    at = first - 1
    while at and lines[at - 1].lstrip().startswith("#"):
        at -= 1
    return at if at or first == 1 else first - 1


def _put(text: str, after: int, new: list[str]) -> str:
    end = "\r\n" if "\r\n" in text else "\n"
    lines = lines_of(text)
    return end.join([*lines[:after], *new, *lines[after:]]) + end


def _cut(text: str, path: Keys) -> str:
    """Without the lines of a key, or those of a table and all below it."""
    end = "\r\n" if "\r\n" in text else "\n"
    lines = lines_of(text)
    blocks = _blocks(text, path)
    kept = [
        line
        for number, line in enumerate(lines, 1)
        if not any(first <= number <= last for first, last in blocks)
    ]
    return end.join(kept) + end if kept else ""


def _blocks(text: str, path: Keys) -> list[tuple[int, int]]:
    """First and last lines of what belongs to ``path``; for a table from its header on."""
    blocks: list[tuple[int, int]] = []
    inside = False
    each: Statement
    for each in statements(text):
        if not each.key:
            inside = each.table[: len(path)] == path
            if inside:
                blocks.append((each.first, each.last))
        elif each.commented:
            continue
        elif inside:
            blocks[-1] = (blocks[-1][0], each.last)
        elif (each.table + each.key)[: len(path)] == path:
            blocks.append((each.first, each.last))
    return blocks


def _by_tomlkit(text: str, path: Keys, value: Any) -> Iterator[str]:
    """The change made by tomlkit, which knows every way of writing; None removes."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError
    from tomlkit.items import InlineTable

    try:
        document = tomlkit.parse(text)
        level: Any = document
        for part in path[:-1]:
            if part not in level:
                inline = isinstance(level, InlineTable)
                level[part] = tomlkit.inline_table() if inline else tomlkit.table()
            level = level[part]
        if value is None:
            del level[path[-1]]
        else:
            level[path[-1]] = tomlkit.parse(f"x = {written(value)}")["x"]
        yield tomlkit.dumps(document)
    except TOMLKitError:
        return  # what it cannot do is said by who called


def _in_the_way(path: Keys, part: str) -> ConfigError:
    return ConfigError(
        f"{shown_key(path)}: {part} is something else in this file",
        hint="kolo config edit",
        param=shown_key(path),
    )
