"""``kolo config validate``: everything that is wrong with settings, each with its line."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kolo.cli.output import look, printable, talk
from kolo.cli.remote import json_option
from kolo.cli.root import Command

if TYPE_CHECKING:
    from kolo.config.problems import Problem

WRONG = 2


@click.command(
    "validate",
    cls=Command,
    short_help="Check the settings, every profile too.",
    examples=[
        ("kolo config validate", "what holds here: the file and the environment"),
        ("kolo config validate new.toml", "a file by itself"),
        ("kolo config validate - < new.toml", "standard input"),
    ],
)
@click.argument("file", required=False, type=click.Path(allow_dash=True), metavar="[FILE]")
@json_option("An array of objects: place, file, line, key, what, hint; [] if all is right.")
def command(file: str | None, as_json: bool) -> int:
    """Check the settings and name everything that is wrong, a line each: FILE:LINE: what (hint).

    Without FILE it is config.toml and the KOLO_ variables that are checked. Each profile is
    checked as if it were chosen. The exit code is 2 if anything is wrong.
    """
    from kolo.cli.table import print_json

    name, problems = _check(file)
    if as_json:
        print_json([_described(problem) for problem in problems])
    else:
        terminal = look(sys.stdout).terminal
        for problem in problems:
            click.echo(printable(str(problem)) if terminal else str(problem))
        found = "all is right" if not problems else f"{len(problems)} problems"
        talk(f"{name}: {'1 problem' if len(problems) == 1 else found}")
    return WRONG if problems else 0


def _check(file: str | None) -> tuple[str, list[Problem]]:
    """What was checked, and what is wrong with it."""
    from kolo.config.reading import read_settings

    env: Mapping[str, str] = os.environ
    text = None
    path = None
    if file is not None:
        env = {name: value for name, value in os.environ.items() if not name.startswith("KOLO_")}
        path = Path(file)
    if file == "-":
        path, text = Path("standard input"), sys.stdin.read()
    first = read_settings(env, path, text=text)
    problems = list(first.problems)
    for profile in first.profiles:
        again = read_settings({**env, "KOLO_PROFILE": profile}, path, text=text)
        problems += [problem for problem in again.problems if problem not in problems]
    shown = file if file not in (None, "-") else "standard input" if file else None
    if shown is None:
        shown = str(first.document.file)
        shown += "" if first.document.file.exists() else " (which is not there)"
    return shown, problems


def _described(problem: Problem) -> dict[str, Any]:
    from kolo.config.rows import origin_parts

    parts = origin_parts(problem.place)
    return {
        "place": problem.place,
        "file": parts.get("file"),
        "line": parts.get("line"),
        "key": problem.key,
        "what": problem.what,
        "hint": problem.hint,
    }
