"""Asking before something is removed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from kolo.cli.output import talk
from kolo.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])


def careful_options(command: F) -> F:
    """``--yes`` and ``--dry-run``."""
    command = click.option(
        "--dry-run", is_flag=True, help="Show what would be done, and do nothing."
    )(command)
    return click.option("-y", "--yes", is_flag=True, help="Do not ask first.")(command)


def confirmed(question: str, *, yes: bool) -> bool:
    """Whether to go on. UsageError, naming ``--yes``, where there is nobody to ask."""
    if yes:
        return True
    if sys.stdin is None or not sys.stdin.isatty() or not sys.stderr.isatty():
        raise UsageError("this asks first, and there is no terminal to ask at", hint="--yes")
    sys.stdout.flush()
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        sys.stderr.write("\n")
    if answer.strip().lower() in ("y", "yes"):
        return True
    talk("nothing was done")
    return False
