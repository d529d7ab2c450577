"""``kolo config edit``: the settings file in an editor, checked when one leaves it."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kolo.cli.output import talk
from kolo.cli.root import Command

if TYPE_CHECKING:
    from kolo.config.problems import Problem

EDITORS = ("sensible-editor", "editor", "nano", "vim", "vi")
"""Taken where neither VISUAL nor EDITOR says anything."""


@click.command(
    "edit",
    cls=Command,
    short_help="Open the settings file in an editor.",
    examples=[
        ("kolo config edit", "checked when you leave the editor"),
        ('EDITOR="code --wait" kolo config edit', "one that has a window of its own"),
    ],
)
def command() -> None:
    """Open the settings file in VISUAL or EDITOR; where there is none, one that explains every key.

    What you write is checked when you leave the editor, and takes the place of the file only if it
    is right or you say so. What is not taken is kept, and you are told where.
    """
    from kolo.config.example import example_text
    from kolo.config.reading import find_file

    editor = _editor()
    file, _ = find_file(os.environ)
    there = file.exists()
    before = file.read_bytes().decode(errors="surrogateescape") if there else example_text()
    draft = _draft(file, before)
    while True:
        text = _run(editor, draft, before)
        if text == before:
            draft.unlink()
            talk("nothing was changed")
            return
        problems = _problems(file, text)
        if not problems or _save_anyway(problems, draft):
            break
    _save(file, before if there else None, text, draft)
    talk(f"{file} is written")
    if note := _server_note(file, before if there else "", text):
        talk(note)


def _editor() -> list[str]:
    from kolo.errors import UsageError

    named = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if named:
        return shlex.split(named)
    found = next(filter(None, map(shutil.which, EDITORS)), None)
    if found is None or sys.stdin is None or not sys.stdin.isatty():
        raise UsageError("there is no editor to open", hint="set EDITOR, or kolo config set")
    return [found]


def _draft(file: Path, text: str) -> Path:
    """A copy to be edited: beside the file, where its schema is, or else anywhere."""
    for folder in (file.parent, None):
        with suppress(OSError):
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
            fd, name = tempfile.mkstemp(prefix=f"{file.stem}-edit-", suffix=".toml", dir=folder)
            with os.fdopen(fd, "wb") as draft:
                draft.write(text.encode(errors="surrogateescape"))
            return Path(name)
    raise OSError(f"no folder for a copy of {file} to be edited")


def _run(editor: list[str], draft: Path, before: str) -> str:
    """Let the person edit, and return what they wrote. Ctrl-C is the editor's meanwhile."""
    from kolo.errors import KoloError

    # A handler, unlike SIG_IGN, is not handed down to the editor (execve(2)).
    former = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        code = subprocess.run([*editor, str(draft)], check=False).returncode
        trouble = f"ended with code {code}" if code else ""
    except OSError as error:
        trouble = f"cannot be started: {error.strerror}"
    finally:
        signal.signal(signal.SIGINT, former)
    text = draft.read_bytes().decode(errors="surrogateescape")
    if trouble:
        what = f"the editor {editor[0]!r} {trouble}; nothing was changed"
        if text != before:
            raise KoloError(what + _kept(draft))
        draft.unlink()
        raise KoloError(what, hint="set EDITOR")
    return text


def _problems(file: Path, text: str) -> list[Problem]:
    from kolo.config.problems import Problem
    from kolo.config.reading import read_settings

    try:
        text.encode()
    except UnicodeEncodeError:
        return [Problem(str(file), "is not UTF-8")]
    return read_settings(os.environ, file, text=text).problems


def _save_anyway(problems: list[Problem], draft: Path) -> bool:
    """Whether to save with problems; False edits again. Raises where the draft is to be kept."""
    from kolo.config.problems import as_error
    from kolo.errors import ConfigError

    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        raise ConfigError(as_error(problems).message + _kept(draft))
    for problem in problems:
        talk(str(problem))
    while True:
        sys.stderr.write("Edit again, save as it is, or leave the settings alone? [E/s/l] ")
        sys.stderr.flush()
        answer = sys.stdin.readline()
        match answer.strip().lower()[:1]:
            case "s":
                return True
            case "l":
                raise ConfigError("the settings are as they were" + _kept(draft))
            case "" if not answer:
                raise ConfigError("the settings are as they were" + _kept(draft))
            case "" | "e":
                return False


def _kept(draft: Path) -> str:
    return f"\nwhat you wrote is kept: {draft}"


def _save(file: Path, before: str | None, text: str, draft: Path) -> None:
    from kolo.config.writing import write_text
    from kolo.errors import ConfigError, KoloError

    now = file.read_bytes().decode(errors="surrogateescape") if file.exists() else None
    if now != before:
        raise ConfigError(f"{file} was changed by somebody else meanwhile" + _kept(draft))
    try:
        write_text(file, text)
    except (KoloError, UnicodeEncodeError) as error:
        raise ConfigError(f"{file} is as it was: {error}" + _kept(draft)) from error
    draft.unlink()


def _server_note(file: Path, before: str, text: str) -> str | None:
    from kolo.cli.config_heeded import server_note
    from kolo.config.changes import changed_keys
    from kolo.config.reading import read_settings

    settings = [read_settings(os.environ, file, text=each).settings for each in (before, text)]
    return server_note(changed_keys(*settings))
