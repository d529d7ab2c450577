"""``kolo config set`` and ``unset``: settings changed in the file, all else left as it is."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kolo.cli.options import Text
from kolo.cli.output import talk
from kolo.cli.remote import json_option
from kolo.cli.root import Command

if TYPE_CHECKING:
    from kolo.config.naming import Key
    from kolo.config.writing import Rewritten


@click.command(
    "set",
    cls=Command,
    short_help="Set settings in the file.",
    # -1 is a value and no option.
    context_settings={"ignore_unknown_options": True},
    examples=[
        ("kolo config set engine.ctx 8192", "for every model"),
        ("kolo config set models.qwen.path ~/models/qwen.gguf", "give a file a name"),
        ("kolo config set profiles.work.server.port 9000", "for a profile alone"),
        ("kolo config set server.tls_cert a.crt server.tls_key a.key", "two that go together"),
        ("kolo config set store.folders ~/gguf,/srv/gguf", "a list; JSON is understood too"),
        ("kolo config set engine.chat_template - < template.jinja", "from standard input"),
    ],
)
@click.argument("key", type=Text(), metavar="KEY")
@click.argument("value", type=Text(), metavar="VALUE")
@click.argument("more", nargs=-1, type=Text(), metavar="[KEY VALUE]...")
@json_option(
    "An object: key, value, former, file, line, overridden_by, server; of several keys an array."
)
def set_command(key: str, value: str, more: tuple[str, ...], as_json: bool) -> None:
    """Set each KEY to the VALUE after it in the settings file, which is made if it is not there.

    Comments and order stay. Nothing is written if a value is not what its KEY takes, or if values
    do not go together. A relative path is one from here. VALUE - is what stands on standard input.
    """
    from kolo.config.editing import with_value
    from kolo.config.keys import is_secret
    from kolo.config.writing import rewrite

    new = _pairs([key, value, *more])

    def change(text: str) -> str:
        for found, each in new:
            text = with_value(text, found.path, each)
        return text

    private = any(is_secret(found.own) for found, _ in new)
    done = rewrite(os.environ, change, private=private)
    _tell(new, done, as_json=as_json)
    if private:
        _warn_readable(done.after.document.file)


@click.command(
    "unset",
    cls=Command,
    short_help="Take settings out of the file.",
    examples=[
        ("kolo config unset engine.ctx", "back to its default"),
        ("kolo config unset server.tls_cert server.tls_key", "two that go together"),
        ("kolo config unset models.qwen", "a model with all its keys"),
        ("kolo config unset profiles.work", "a profile"),
    ],
)
@click.argument("key", type=Text(), metavar="KEY")
@click.argument("more", nargs=-1, type=Text(), metavar="[KEY]...")
@json_option("An object, as of kolo config set, value is null; of several keys an array.")
def unset_command(key: str, more: tuple[str, ...], as_json: bool) -> None:
    """Take each KEY out of the settings file; done again it changes nothing.

    KEY may be a model (models.NAME) or a profile (profiles.NAME), which go with all their keys.
    """
    from kolo.config.editing import without
    from kolo.config.writing import rewrite

    gone = [_removable(each) for each in (key, *more)]

    def change(text: str) -> str:
        for found in gone:
            text = without(text, found.path)
        return text

    _tell([(found, None) for found in gone], rewrite(os.environ, change), as_json=as_json)


def _pairs(words: list[str]) -> list[tuple[Key, Any]]:
    """Keys with what to write for them. UsageError where a value is missing, a key stands twice,
    or two values are to come from standard input."""
    from kolo.config.naming import find_key
    from kolo.errors import UsageError

    if len(words) % 2:
        raise UsageError(f"{words[-1]} has no value", hint=f"kolo config set … {words[-1]} VALUE")
    keys, texts = [find_key(key) for key in words[::2]], words[1::2]
    for at, key in enumerate(keys):
        if any(key.path == other.path for other in keys[:at]):
            raise UsageError(f"{key.shown} is given twice", hint="leave out one of them")
    if texts.count("-") > 1:
        raise UsageError("only one value can be on standard input", hint="one - and no more")
    return [
        (key, _value(key, _stdin() if text == "-" else text))
        for key, text in zip(keys, texts, strict=True)
    ]


def _stdin() -> str:
    from kolo.errors import UsageError

    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("- reads standard input, and that is a terminal", hint="pipe the value in")
    text = sys.stdin.read()
    return text.removesuffix("\n")


def _value(key: Key, text: str) -> Any:
    """What to write for ``text``. BadParameter says what the key takes."""
    from kolo.config.keys import is_path, is_secret
    from kolo.config.tables import placed
    from kolo.errors import BadParameter
    from kolo.values import convert_text, custom_kind, plain

    try:
        value = convert_text(text, key.kind)
        if is_path(key.own):
            value = placed(value, Path.cwd())
    except ValueError as error:
        unset = text.strip().lower() in ("", "auto", "none", "null", "default")
        shown = "" if is_secret(key.own) else f", found {text!r}"
        about = "" if unset else f"\n{_help(key)}".rstrip()
        raise BadParameter(
            f"{key.shown}: {error}{shown}{about}",
            hint=f"kolo config unset {key.shown}" + ("" if unset else ", for its default"),
        ) from None
    typed = text.strip()
    as_typed = custom_kind(key.kind) is not None and not typed.replace(".", "").isdigit()
    return typed if as_typed else plain(value, key.kind)


def _help(key: Key) -> str:
    from kolo.config.example import descriptions

    path = tuple(key.own.split("."))
    for above in ((), ("models", "example"), ("engine",)):
        if about := descriptions().get((*above, *path)):
            return about
    return ""


def _removable(text: str) -> Any:
    """A key, or a whole model or profile."""
    from kolo.config.naming import Key, find_key
    from kolo.errors import BadParameter
    from kolo.toml import dotted

    try:
        return find_key(text)
    except BadParameter:
        kind, _, name = text.partition(".")
        parts = dotted(text)
        if kind in ("models", "profiles") and name:
            whole = parts if len(parts) == 2 else (kind, name)
            return Key(whole, None, text, model=whole[1] if kind == "models" else "")
        if parts and _in_file(_table(), parts) is not None:  # such as a key with a slip in it
            return Key(parts, None, text)
        raise


def _table() -> Any:
    from kolo.config.reading import find_file
    from kolo.toml import Document

    return Document.read(find_file(os.environ)[0], required=False).table


def _tell(changes: list[tuple[Key, Any]], done: Rewritten, *, as_json: bool) -> None:
    """What was done; a value of None is one that was taken out."""
    from kolo.cli.config_heeded import server_note
    from kolo.cli.table import print_json

    names = [key.shown if key.profile else key.name for key, _ in changes]
    server = server_note(names) if done.changed else None
    if as_json:
        told = [_told(key, value, done, server) for key, value in changes]
        print_json(told[0] if len(told) == 1 else told)
        return
    for key, value in changes:
        _say(key, value, done)
    if done.after.problems:
        talk(f"  still wrong: {len(done.after.problems)} (kolo config validate)")
    if server:
        talk(f"  {server}")


def _told(key: Key, value: Any, done: Rewritten, server: str | None) -> dict[str, Any]:
    from kolo.config.problems import masked

    file = done.after.document.file
    line = done.after.document.origin(key.path).removeprefix(f"{file}:")
    return {
        "key": key.shown,
        "value": masked(key.own, value),
        "former": masked(key.own, _in_file(done.before.document.table, key.path)),
        "file": str(file),
        "line": int(line) if value is not None and line.isdigit() else None,
        "overridden_by": _winner(key, done.after.settings.origin(key.name)),
        "server": server,
    }


def _say(key: Key, value: Any, done: Rewritten) -> None:
    from kolo.config.problems import masked
    from kolo.toml import written

    former = _in_file(done.before.document.table, key.path)
    if value is None:
        there = "is not in" if former is None else "is taken out of"
        talk(f"{key.shown} {there} {done.after.document.file}")
    else:
        was = "" if former in (None, value) else f" (was {written(masked(key.own, former))})"
        place = done.after.document.origin(key.path)
        talk(f"{key.shown} = {written(masked(key.own, value))}{was}: {place}")
    if overridden_by := _winner(key, done.after.settings.origin(key.name)):
        talk(f"  {overridden_by} wins over it")


def _winner(key: Key, origin: str) -> str | None:
    """What holds although the file says something else: a variable, or the profile chosen."""
    if origin.startswith("env "):
        return origin.removeprefix("env ")
    _, _, profile = origin.partition(" (profile ")
    return f"profile {profile.removesuffix(')')}" if profile and not key.profile else None


def _in_file(table: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        if not isinstance(table, dict) or part not in table:
            return None
        table = table[part]
    return table


def _warn_readable(file: Path) -> None:
    from kolo.config.writing import READABLE_BY_OTHERS

    if file.stat().st_mode & READABLE_BY_OTHERS:
        talk(f"  others may read {file}: chmod 600 {file}")
