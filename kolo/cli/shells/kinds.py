"""What an option or an argument takes, so that a shell can offer it.

A kind is a word: one of ``kolo.cli.completing.OFFERS``, which is asked when a key is pressed;
``files``, ``folders``, ``hosts`` or ``users``, which shells know themselves; ``references``, where
a model can come from; ``choice``; or ``free``, of which nothing is known.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import click


class Kind(NamedTuple):
    name: str
    choices: tuple[str, ...] = ()


FREE = Kind("free")
REFERENCES = ("hf:", "ollama:", "oci:", "https://")

_BY_WORD = {
    "MODEL": "models",
    "REF": "references",
    "KEY": "keys",
    "ENGINE": "every-engine",
    "ALIAS": "aliases",
    "RUN": "runs",
    "URL": "urls",
    "PROFILE": "profiles",
    "FILE": "files",
    "DIR": "folders",
    "HOST": "hosts",
    "USER": "users",
}
_BY_PLACE = {
    ("kolo", "--profile"): "profiles",
    ("kolo rm", "NAME"): "stored",
    ("kolo verify", "NAME"): "stored",
    ("kolo rollback", "NAME"): "stored",
    ("kolo rollback", "--to"): "versions",
    ("kolo unload", "ID"): "engines",
    ("kolo bench", "--api-key"): "free",
    ("kolo chat", "--resume"): "sessions",
    ("kolo keys revoke", "KEY"): "api-keys",
    ("kolo bench compare", "A"): "runs",
    ("kolo bench compare", "B"): "runs",
    ("kolo config show", "KEY"): "sections",
    ("kolo config set", "VALUE"): "values",
    ("kolo config unset", "KEY"): "removable",
}


def kind_of(path: str, param: click.Parameter) -> Kind:
    """What a parameter of the command ``path`` takes."""
    if isinstance(param.type, click.Choice):
        return Kind("choice", tuple(str(each) for each in param.type.choices))
    names = _names(param)
    for name in names:
        if found := _BY_PLACE.get((path, name)):
            return Kind(found)
    if (path, names[0]) == ("kolo bench", "--shape"):
        from kolo.bench.known import KNOWN

        return Kind("choice", tuple(KNOWN))
    if path == "kolo help":
        return Kind("choice", _topics())
    if isinstance(param.type, click.Path):
        return Kind("files" if param.type.file_okay else "folders")
    if isinstance(param.type, click.File):
        return Kind("files")
    return Kind(_BY_WORD.get(names[-1], "free"))


def _names(param: click.Parameter) -> list[str]:
    """Its flags, if it has any, and the word that stands for its value."""
    word = param.metavar or param.human_readable_name
    word = re.sub(r"\[[A-Z]+=\]|[\[\].…]", "", word)
    return [*(sorted(param.opts, key=len, reverse=True)), word.upper()]


def _topics() -> tuple[str, ...]:
    from kolo.cli import COMMANDS
    from kolo.cli.help import TOPICS

    return (*TOPICS, *COMMANDS)
