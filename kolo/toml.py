"""Reads a TOML file and still knows on which line each key stood, which ``tomllib`` forgets."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kolo.errors import ConfigError


class Document:
    """A parsed file; ConfigError if it cannot be read. Without ``required`` it may be missing."""

    def __init__(self, file: Path, *, required: bool) -> None:
        self.file = file
        self.table: dict[str, Any] = {}
        self._lines: dict[tuple[str, ...], int] = {}
        try:
            text = file.read_text(encoding="utf-8")
            self.table = tomllib.loads(text)
            self._lines = dict(_key_lines(text))
        except FileNotFoundError:
            if required:
                raise ConfigError(f"no such config file: {file}") from None
        except OSError as error:
            raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{file}: is not UTF-8: {error.reason}") from None
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{file}: is not TOML: {error}") from None

    def origin(self, keys: tuple[str, ...]) -> str:
        """``FILE:LINE``, or ``FILE`` for a key written in some rare way."""
        while keys and keys not in self._lines:
            keys = keys[:-1]
        return f"{self.file}:{self._lines[keys]}" if keys else str(self.file)


def _key_lines(text: str) -> Iterator[tuple[tuple[str, ...], int]]:
    table: tuple[str, ...] = ()
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        opens = (line.count('"""') + line.count("'''")) % 2 == 1
        if not inside:
            if match := re.match(r"\s*\[([^\[\]]+)\]", line):
                table = _dotted(match[1])
                yield table, number
            elif match := re.match(r"\s*([\w.\"' -]+?)\s*=", line):
                yield table + _dotted(match[1]), number
        inside ^= opens


def _dotted(text: str) -> tuple[str, ...]:
    """The parts of a TOML key, quoted or not."""
    try:
        level: Any = tomllib.loads(f"{text} = 0")
    except tomllib.TOMLDecodeError:
        return ()
    parts = []
    while isinstance(level, dict):
        ((part, level),) = level.items()
        parts.append(part)
    return tuple(parts)
