"""Where a prompt comes from: the argument, standard input, files."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kolo.cli.output import talk
from kolo.errors import UsageError

HINT_AFTER_S = 1.0


def piped() -> bool:
    """True when standard input is not a terminal (and not closed)."""
    return sys.stdin is not None and not sys.stdin.isatty()


def gather(
    argument: str | None,
    *,
    files: Sequence[Path] = (),
    raw: bool = False,
    command: str = "complete",
) -> str:
    """The whole prompt: files, standard input, the argument, with a blank line between them.

    Standard input is read when it is piped, or when the argument is ``-``. Line breaks at the end
    of what something follows are dropped, and those at the very end too unless ``raw``.
    UsageError when nothing is left.
    """
    parts = [read_text(file, "--file") for file in files]
    if piped() or argument == "-":
        parts.append(read_stdin())
    if argument is not None and argument != "-":
        parts.append(argument)
    for index, part in enumerate(parts):
        if index < len(parts) - 1 or not (raw or part is argument):
            parts[index] = part.rstrip("\r\n")
    prompt = "\n\n".join(part for part in parts if part)
    if not (prompt if raw else prompt.strip()):
        raise UsageError(
            "the prompt is empty",
            hint=f'kolo {command} "What is a slot?", or pipe text in',
            param="PROMPT",
        )
    return prompt


def read_stdin() -> str:
    """All of standard input as text; says that it waits when nothing comes for a second."""
    if sys.stdin is None:
        return ""
    fd = sys.stdin.fileno()
    if not select.select([fd], [], [], HINT_AFTER_S)[0]:
        ends = "Ctrl-D ends it" if os.isatty(fd) else "</dev/null if there is none"
        talk(f"reading the prompt from standard input ({ends})", faint=True)
    return _text(sys.stdin.buffer.read(), "standard input")


def read_text(path: Path, option: str) -> str:
    """The text of a file named by ``option``. UsageError when it cannot be had."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{option}: cannot read {path}: {error.strerror}",
            hint="a file that exists and may be read",
            param=option,
        ) from error
    return _text(data, f"{option} {path}")


def read_schema(path: Path) -> dict[str, Any] | bool:
    """A JSON Schema from a file: an object, or true or false. UsageError says where it is off."""
    import json

    text = read_text(path, "--schema")
    try:
        schema = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(
            f"--schema {path} is not JSON: line {error.lineno}, column {error.colno}: {error.msg}",
            hint='a JSON Schema, such as {"type": "object"}',
            param="--schema",
        ) from error
    if not isinstance(schema, (dict, bool)):
        raise UsageError(
            f"--schema {path} is not a JSON Schema: it must be an object, true or false",
            hint='a JSON Schema, such as {"type": "object"}',
            param="--schema",
        )
    return schema


def read_grammar(path: Path) -> str:
    """A GBNF grammar from a file; whether it is one, the engine says."""
    text = read_text(path, "--grammar")
    if not text.strip():
        raise UsageError(
            f"--grammar {path} is empty", hint='a grammar, such as root ::= "yes" | "no"'
        )
    return text


def _text(data: bytes, what: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{what} is not UTF-8: byte {data[error.start]:#04x} at offset {error.start}",
            hint="text in UTF-8, for example through iconv -t UTF-8",
        ) from error
