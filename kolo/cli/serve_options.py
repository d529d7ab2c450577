"""Every setting that a server heeds as an option of ``kolo serve``, made from the schema.

Keys of ``[server]``, ``[access]`` and ``[engine]`` are options by their own name, those of other
sections with the section's before it: ``--stop-timeout``, ``--ctx``, ``--log-level``.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import click

from kolo.cli.options import Text
from kolo.cli.root import Command
from kolo.config.example import descriptions
from kolo.config.keys import LEAVES
from kolo.errors import UsageError
from kolo.units import Budget, Bytes, Seconds
from kolo.values import choices, custom_kind, holds

ELSEWHERE = ("chat", "complete", "embed")
"""Sections that a server has no use for."""
BARE = ("server", "engine", "access")
LONG = ("engine", "engine.sampling")
"""Shown last."""
LONGEST_METAVAR = 24
TITLES = {
    "": "In general",
    "server": "HTTP",
    "access": "Who may use it, and how much of it",
    "access.cors": "Pages of other sites",
    "engine": "How models are loaded",
    "engine.sampling": "Sampling, where a request leaves it open",
    "manager": "Loading and unloading",
    "cache": "What survives a swap",
    "store": "Models on disk",
    "downloads": "Downloads",
    "monitor": "Monitor",
    "history": "History",
    "otel": "OpenTelemetry",
    "log": "Log",
}
_METAVARS = {Seconds: "TIME", Bytes: "SIZE", Budget: "SIZE"}


class ServeCommand(Command):
    """Has an option for every key, beside those that are written out, and groups them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        taken = {name for param in self.params for name in param.opts}
        self.keys: dict[str, str] = {}
        """Dotted key, by the name of its parameter."""
        for key, kind in LEAVES.items():
            flag = flag_of(key)
            if flag not in taken and key.partition(".")[0] not in ELSEWHERE:
                option = _option(key, flag, kind)
                self.keys[option.name or ""] = key
                self.params.append(option)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Models are named without an option here, which whoever types -m is told."""
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if error.option_name not in ("-m", "--model"):
                raise
            raise UsageError(
                f"no such option: {error.option_name}; models are named without one",
                hint=f"kolo serve {shlex.quote(_after(error.option_name, given))}",
            ) from None

    def overrides(self, given: Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
        """What was typed, for ``load_settings``."""
        return {
            key: (flag_of(key), given[name])
            for name, key in self.keys.items()
            if given.get(name) is not None
        }

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {"Options": []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            key = self.keys.get(param.name or "")
            if record is not None:
                groups.setdefault("Options" if key is None else _title(key), []).append(record)
        last = [_title(f"{section}.") for section in LONG]
        for title in sorted(groups, key=lambda title: title in last):
            with formatter.section(title):
                formatter.write_dl(groups[title])


def _after(flag: str, args: list[str]) -> str:
    """What was typed as the value of ``flag``, however; MODEL if nothing was."""
    for at, arg in enumerate(args):
        if arg == flag:
            return next(iter(args[at + 1 :]), "MODEL")
        if arg.startswith(flag):
            return arg[len(flag) :].removeprefix("=")
    return "MODEL"


def flag_of(key: str) -> str:
    """The option for a dotted key."""
    section, _, rest = key.partition(".")
    bare = rest if rest and section in BARE else key
    return f"--{bare.replace('.', '-').replace('_', '-')}"


def _option(key: str, flag: str, kind: Any) -> click.Option:
    help = descriptions().get(tuple(key.split(".")), "")
    if holds(kind, bool):
        return click.Option([f"{flag}/--no-{flag[2:]}"], default=None, help=help)
    allowed = [value for value in choices(kind) if isinstance(value, str)]
    metavar = "|".join(allowed) or _METAVARS.get(custom_kind(kind), "")
    if len(metavar) > LONGEST_METAVAR:
        metavar = "TYPE"  # the help lists them
    return click.Option([flag], type=Text(), metavar=metavar or _metavar(kind), help=help)


def _metavar(kind: Any) -> str:
    if holds(kind, list):
        return "A,B"
    if holds(kind, dict):
        return "JSON"
    return "N" if holds(kind, int, float) else "TEXT"


def _section(key: str) -> str:
    return key.rpartition(".")[0]


def _title(key: str) -> str:
    section = _section(key)
    title = TITLES.get(section, section.capitalize())
    return f"{title} [{section}]" if section else title
