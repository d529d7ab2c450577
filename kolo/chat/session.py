"""Conversations on disk: each a JSON file that is a request in OpenAI's words.

``curl -d @FILE`` sends it to any such server. The file is written whole (temporary file, fsync,
rename) before a question is sent and after its answer, for its owner alone.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from kolo.chat.choices import Choices, from_body
from kolo.chat.conversation import SUMMARISE, Conversation
from kolo.errors import KoloError, UsageError
from kolo.types import Message
from kolo.whole import write_whole

MAX_BYTES = 256 << 20
SLUG_CHARS = 40
TITLE_CHARS = 60


class Session(Struct, kw_only=True):
    """What a file holds."""

    conversation: Conversation
    choices: Choices
    model: str = ""


class Saved(Struct, kw_only=True):
    """A line of the list of conversations."""

    name: str
    path: str
    updated: float
    """Seconds since 1970."""
    model: str
    turns: int
    title: str
    """How the first question begins."""


class Shelf:
    """The folder in which conversations are kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def saved(self) -> list[Saved]:
        """All of them, the last one first. What is no conversation is passed over."""
        found = []
        for path in self.folder.glob("*.json"):
            with suppress(KoloError, OSError):
                found.append(_entry(path))
        return sorted(found, key=lambda one: (-one.updated, one.name))

    def last(self) -> Path | None:
        """The file of the last one."""
        for path in sorted(self.folder.glob("*.json"), key=_written, reverse=True):
            with suppress(KoloError):
                read(path)
                return path
        return None

    def find(self, name: str) -> Path:
        """The file that ``name`` means: a path, a name, or the only one that it is a part of.

        UsageError when there is none, or more than one.
        """
        if "/" in name or name.endswith(".json"):
            path = Path(name).expanduser()
            if not path.is_file():
                raise UsageError(
                    f"no such file: {name}", hint="/load, or kolo chat --list, lists all"
                )
            return path
        names = [path.stem for path in self.folder.glob("*.json")]
        matching = [one for one in names if one == name] or [one for one in names if name in one]
        if len(matching) == 1:
            return self.folder / f"{matching[0]}.json"
        if not matching:
            raise UsageError(
                f"no conversation called {name!r}", hint="/load, or kolo chat --list, lists all"
            )
        raise UsageError(
            f"{name!r} is a part of {len(matching)} names", hint=" or ".join(sorted(matching)[:3])
        )

    def new_path(self, title: str) -> Path:
        """A free name for a conversation that begins with ``title``."""
        words = re.sub(r"[^\w]+", "-", title.lower())[:SLUG_CHARS].strip("-_")
        return free(self.folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{words or 'chat'}.json")


class Keeper:
    """Saves one conversation, again and again, to the same file.

    If another program has written that file since, ours goes to one of its own: nothing that
    anybody said is written over.
    """

    def __init__(self, shelf: Shelf, path: Path | None = None) -> None:
        self._shelf = shelf
        self.path = path
        self._ours = _mark(path)

    def save(self, session: Session) -> str | None:
        """Write it, if there is anything; a remark if there is one. Raises OSError."""
        messages = session.conversation.all
        question = _question(messages)
        if question is None and self.path is None:
            return None
        remark = None
        self._shelf.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.path is None:
            self.path = self._shelf.new_path(question or "")
        elif _mark(self.path) not in (None, self._ours):
            self.path = free(self.path)
            remark = f"another program has changed the file: this goes on as {self.path.stem}"
        write_whole(self.path, encode(session))
        self._ours = _mark(self.path)
        return remark

    def move(self, path: Path, session: Session) -> None:
        """Go on in ``path``; the file that was is no more, unless another program has changed it.
        Raises OSError, and then all is as it was."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(path, encode(session))
        old, ours = self.path, self._ours
        self.path, self._ours = path, _mark(path)
        if old is not None and _mark(old) == ours:  # where it is ``path`` itself it has changed
            old.unlink(missing_ok=True)

    def branch(self) -> None:
        """Go on in a new file; that which was stays as it is."""
        self.path = self._ours = None

    def fork(self) -> None:
        """As ``branch``, but the new file is named after that which was."""
        if self.path is not None:
            self.path, self._ours = free(self.path), None


def encode(session: Session) -> bytes:
    """The file's bytes."""
    body: dict[str, Any] = {
        "model": session.model,
        "messages": session.conversation.all,
        **session.choices.body(),
    }
    return msgspec.json.format(msgspec.json.encode(body), indent=2) + b"\n"


def read(path: Path) -> Session:
    """What a file holds: a request, or its messages alone. UsageError if it is neither."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _unreadable(path, f"it is larger than {MAX_BYTES >> 20} MiB")
        body = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _unreadable(path, str(error)) from None
    if isinstance(body, list):
        body = {"messages": body}
    if not isinstance(body, dict) or not isinstance(body.get("messages"), list):
        raise _unreadable(path, "it has no messages")
    try:
        messages = [_message(each, at) for at, each in enumerate(body["messages"])]
    except msgspec.ValidationError as error:
        raise _unreadable(path, str(error)) from None
    system = "\n\n".join(m.content for m in messages if m.role in _SYSTEM and m.content)
    turns = [message for message in messages if message.role not in _SYSTEM]
    model = body.get("model")
    return Session(
        conversation=Conversation(system, turns),
        choices=from_body(body),
        model=model if isinstance(model, str) else "",
    )


def free(path: Path) -> Path:
    """``path``, or the like of it that is not there yet."""
    return next(each for each in _alike(path) if not each.exists())


def title_of(messages: Sequence[Message]) -> str:
    """How the first question begins, on one line."""
    text = _question(messages) or ""
    words = " ".join(text.split())
    return words if len(words) <= TITLE_CHARS else f"{words[: TITLE_CHARS - 1]}…"


_SYSTEM = ("system", "developer")


def _question(messages: Sequence[Message]) -> str | None:
    """The first question; that for a summary only where there is no other."""
    asked = [m.content for m in messages if m.role == "user" and m.content]
    return next((text for text in asked if not text.startswith(SUMMARISE)), next(iter(asked), None))


def _entry(path: Path) -> Saved:
    session = read(path)
    return Saved(
        name=path.stem,
        path=str(path),
        updated=path.stat().st_mtime,
        model=session.model,
        turns=sum(turn.role == "user" for turn in session.conversation.turns),
        title=title_of(session.conversation.all),
    )


def _message(raw: Any, at: int) -> Message:
    """A message whose content may be a list of parts, as OpenAI has it."""
    if isinstance(raw, dict) and isinstance(raw.get("content"), list):
        texts = [part.get("text") for part in raw["content"] if isinstance(part, dict)]
        if not all(isinstance(text, str) for text in texts):
            raise UsageError(
                f"message {at + 1} holds an image or a sound",
                hint="only text can be talked about here",
            )
        raw = {**raw, "content": "".join(str(text) for text in texts)}
    return msgspec.convert(raw, Message)


def _alike(path: Path) -> Iterator[Path]:
    yield path
    stem = re.sub(r"-\d+$", "", path.stem) if re.search(r"[a-z]-\d+$", path.stem) else path.stem
    for number in range(2, 1_000_000):
        yield path.with_name(f"{stem}-{number}{path.suffix}")


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _mark(path: Path | None) -> tuple[int, int] | None:
    """What changes when anybody writes the file."""
    if path is None:
        return None
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _unreadable(path: Path, why: str) -> UsageError:
    return UsageError(
        f"{path} is no conversation: {why}",
        hint='a JSON object with "messages", as /save writes it',
    )
