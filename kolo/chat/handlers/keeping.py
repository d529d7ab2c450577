"""Commands that put conversations into files and take them out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from kolo.chat.attach import attach
from kolo.chat.room import n_tokens
from kolo.chat.session import Keeper, Saved, Shelf, encode, free, read, title_of
from kolo.chat.stats import short_count, size_text
from kolo.chat.talk import Next, Talk
from kolo.errors import UsageError
from kolo.whole import write_whole

SHOWN = 20


async def save(talk: Talk, rest: str) -> Next:
    first, _, others = rest.partition(" ")
    over = first == "-f"
    name = others.strip() if over else rest
    if not len(talk.conversation) and talk.conversation.unanswered is None:
        raise UsageError("there is nothing to save yet")
    if not name:
        talk.save()
        path = talk.keeper.path if talk.keeper is not None else None
        talk.screen.note(f"saved as {path}" if path else "not kept: /save FILE keeps it")
    elif "/" in name or name.endswith(".json"):
        _write(_path(name), encode(talk.session()), over=over, again=f"/save -f {name}")
        talk.screen.note(f"saved as {name}")
    else:
        _rename(talk, name, over=over)
    return None


async def load(talk: Talk, rest: str) -> Next:
    shelf = _shelf(talk)
    if not rest:
        talk.screen.note(listing(shelf.saved(), time.time()))
        return None
    path = shelf.find(rest)
    session = read(path)
    own = path.parent == shelf.folder
    keeper = Keeper(shelf, path if own else None) if talk.keeper is not None else None
    talk.adopt(session, keeper)
    note = f"{path.stem}: {len(session.conversation)} turns"
    if session.model and session.model != talk.model:
        note += f", until now with {session.model} (/model {session.model})"
    talk.screen.note(note)
    return None


async def export(talk: Talk, rest: str) -> Next:
    kind, _, name = rest.partition(" ")
    if kind.lower() not in ("md", "json"):
        kind, name = Path(rest).suffix.removeprefix("."), rest
    if kind.lower() not in ("md", "json"):
        raise UsageError(
            "/export writes md or json", hint="/export md [FILE] or /export json [FILE]"
        )
    if not len(talk.conversation):
        raise UsageError("there is nothing to export yet")
    kind = kind.lower()
    data = _markdown(talk).encode() if kind == "md" else encode(talk.session())
    if name.strip():
        path = _path(name.strip())
        _write(path, data, over=False, again="another name")
    else:
        stem = talk.keeper.path.stem if talk.keeper is not None and talk.keeper.path else "chat"
        path = free(Path(f"{stem}.{kind}"))
        _write(path, data, over=False, again=f"/export {kind} FILE")
    talk.screen.note(f"exported to {path}")
    return None


async def file(talk: Talk, rest: str) -> Next:
    if not rest:
        waiting = ", ".join(each.name for each in talk.attachments)
        talk.screen.note(
            f"with the next message: {waiting} (/file - drops them)"
            if waiting
            else "/file PATH goes with the next message; @PATH within a message does too"
        )
        return None
    if rest == "-":
        talk.attachments.clear()
        talk.screen.note("nothing goes with the next message")
        return None
    found = attach(rest)
    n = await n_tokens(talk, found.text)
    if talk.n_ctx and n >= talk.n_ctx:
        raise UsageError(
            f"{rest} is {short_count(n)} tokens, and the context of {talk.model} has "
            f"{short_count(talk.n_ctx)}",
            hint="the part of it that matters, or a model with a larger context",
        )
    talk.attachments.append(found)
    talk.screen.note(
        f"{rest} ({size_text(found.n_bytes)}, {short_count(n)} tokens) goes with the next message"
    )
    return None


def listing(saved: Sequence[Saved], now: float) -> str:
    """Conversations, the last one first, as rows for a person."""
    if not saved:
        return "no conversation has been saved yet"
    rows = [f"  {one.name}  {ago(now - one.updated)}, {one.turns} turns" for one in saved[:SHOWN]]
    if len(saved) > SHOWN:
        rows.append(f"  and {len(saved) - SHOWN} older ones: kolo chat --list")
    return "\n".join([*rows, "/load NAME goes on with one; a part of the name will do"])


def ago(seconds: float) -> str:
    """``3 hours ago``."""
    for unit_s, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= unit_s:
            n = int(seconds // unit_s)
            return f"{n} {unit}{'s' * (n != 1)} ago"
    return "just now"


def _rename(talk: Talk, name: str, *, over: bool) -> None:
    """Keep the conversation under ``name`` from now on."""
    shelf = _shelf(talk)
    path = shelf.folder / f"{name}.json"
    if name.startswith(".") or not name.isprintable():
        raise UsageError(f"{name!r} is no name of a file")
    keeper = talk.keeper or Keeper(shelf)
    if path.exists() and not over and keeper.path != path:
        raise UsageError(f"there is a conversation called {name} already", hint=f"/save -f {name}")
    try:
        if keeper.path != path:
            keeper.move(path, talk.session())
        elif remark := keeper.save(talk.session()):
            talk.screen.note(remark)
    except OSError as error:
        raise UsageError(f"cannot save as {name}: {error.strerror}") from error
    talk.keeper = keeper
    kept = keeper.path.stem if keeper.path is not None else name
    talk.screen.note(f"saved as {kept}: kolo chat --resume {kept}")


def _markdown(talk: Talk) -> str:
    conversation = talk.conversation
    parts = [f"# {title_of(conversation.turns) or 'Chat'}", f"With {talk.model}."]
    if conversation.system:
        parts += ["## System", conversation.system]
    for turn in conversation.turns:
        who = talk.model if turn.role == "assistant" else turn.role.capitalize()
        parts += [f"## {who}", (turn.content or "").strip()]
    return "\n\n".join(part for part in parts if part) + "\n"


def _write(path: Path, data: bytes, *, over: bool, again: str) -> None:
    if path.exists() and not over:
        raise UsageError(f"{path} is there already", hint=again)
    try:
        write_whole(path, data)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


def _shelf(talk: Talk) -> Shelf:
    if talk.shelf is None:
        raise UsageError(
            "no conversations are kept here", hint="/save FILE and /export write files"
        )
    return talk.shelf


def _path(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{name}: {error}") from None
