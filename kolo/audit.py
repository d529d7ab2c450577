"""The audit log: who did what to a server, when, and how it went. Lines of JSON, appended only.

Each line ends with the SHA-256 of itself (``sum``), which covers the sum of the line before it
(``prev``), so that whoever changes, removes or adds a line breaks the chain at that place. What a
chain cannot show is that lines at its end were cut off, or that somebody wrote all of it anew: keep
the head that ``kolo audit verify`` prints somewhere else, and give it back with ``--head``.

A server that is killed while it writes, or loses power, can leave a torn line. It stays; the next
line says so (``torn``, the SHA-256 of what is there) and the chain goes on from the last whole one.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Annotated, NamedTuple

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from kolo.errors import AuditBroken, ConfigError
from kolo.flock import lock
from kolo.paths import Paths
from kolo.whole import give_to_owner_of

START = "0" * 64
"""What the first line names as the one before."""
MAX_TEXT_CHARS = 500
_TAIL_BYTES = 1 << 16

Sum = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class Entry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One line."""

    n: Annotated[int, Meta(ge=1)]
    time: str
    """UTC, to the millisecond (RFC 3339)."""
    who: str
    """``key ID (NAME)``, ``local``, ``user UID`` at the Unix socket or a terminal, an address."""
    action: str
    """``POST /models/load``, ``keys create``."""
    subject: str
    """The engine, model, key or setting it was about."""
    outcome: str
    """``ok``, or an HTTP status and what was wrong."""
    torn: Sum | None = None
    """There is a torn line before this one; its sum."""
    prev: Sum
    """The sum of the line before."""
    sum: Sum | None = None
    """Of this line without it."""


class Verdict(Struct, frozen=True, kw_only=True):
    """What became of a check."""

    lines: int
    head: str
    """Sum of the last whole line."""
    torn: tuple[int, ...] = ()
    """Numbers, in the file, of torn lines that the chain knows of, or of a torn end."""


def audit_file(paths: Paths) -> Path:
    return paths.state / "audit.jsonl"


def record(
    file: Path,
    *,
    who: str,
    action: str,
    outcome: str,
    subject: str = "",
    at: float | None = None,
) -> Entry:
    """Append one entry; it is on the disk when this returns. ConfigError if it cannot be kept.

    Servers and commands may write at the same time: a lock on the file has them take turns.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with _locked(file) as log:
            give_to_owner_of(file.parent, file)
            end = log.seek(0, os.SEEK_END)
            tail = _tail_of(log, end)
            entry = _sealed(
                Entry(
                    n=tail.last.n + 1 if tail.last else 1,
                    time=_stamp(time.time() if at is None else at),
                    who=who[:MAX_TEXT_CHARS],
                    action=action[:MAX_TEXT_CHARS],
                    subject=subject[:MAX_TEXT_CHARS],
                    outcome=outcome[:MAX_TEXT_CHARS],
                    torn=None if tail.torn is None else _sha256(tail.torn),
                    prev=tail.last.sum or START if tail.last else START,
                )
            )
            line = (b"" if tail.ended else b"\n") + msgspec.json.encode(entry) + b"\n"
            try:
                log.write(line)
                log.flush()
                os.fsync(log.fileno())
            except OSError:
                os.ftruncate(log.fileno(), end)  # a part of it may be there
                raise
            return entry
    except OSError as error:
        raise ConfigError(
            f"cannot write the audit log {file}: {error.strerror}",
            hint="Make room or correct its permissions.",
        ) from error


def entries(file: Path) -> Iterator[Entry]:
    """What was recorded, oldest first; what is no entry is left out: ``verify`` tells of it."""
    with _opened(file) as log:
        for line in log:
            if (entry := _decoded(line.rstrip(b"\n"))) is not None:
                yield entry


def verify(file: Path, *, head: str = "") -> Verdict:
    """Check the whole chain. AuditBroken names the first line that is wrong, or says that
    ``head``, a head of before, is not in it any more."""
    last: Entry | None = None
    known = head in ("", START)
    torn: list[tuple[int, bytes]] = []
    torn_at: list[int] = []
    ended = True
    with _opened(file) as log:
        for at, whole in enumerate(log, 1):
            ended = whole.endswith(b"\n")
            entry = _decoded(whole[:-1]) if ended else None
            if entry is None:
                torn.append((at, whole.rstrip(b"\n")))
                torn_at.append(at)
                continue
            if entry.torn != (_sha256(b"\n".join(line for _, line in torn)) if torn else None):
                raise _broken(file, *((torn[0][0], _GARBLED) if torn else (at, _MISSING)))
            if (
                entry.prev != (last.sum if last else START)
                or entry.n != (last.n if last else 0) + 1
            ):
                raise _broken(file, at, "it does not follow from the line before it")
            last, torn = entry, []
            known = known or entry.sum == head
    if torn and ended:
        raise _broken(file, torn[0][0], _GARBLED)
    if not known:
        raise AuditBroken(
            f"{file}: no line has the sum {head}",
            hint="Lines at its end are gone, or it was written anew: look for a copy of it.",
        )
    return Verdict(
        lines=last.n if last else 0, head=last.sum or START if last else START, torn=tuple(torn_at)
    )


_GARBLED = "it is no entry, or its sum is wrong"
_MISSING = "a torn line before it is gone"


def _sealed(entry: Entry) -> Entry:
    return replace(entry, sum=_sha256(msgspec.json.encode(replace(entry, sum=None))))


def _decoded(line: bytes) -> Entry | None:
    """The entry of a line that is as it was written, to the byte."""
    try:
        entry = msgspec.json.decode(line, type=Entry)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return entry if msgspec.json.encode(_sealed(entry)) == line else None


def _broken(file: Path, at: int, what: str) -> AuditBroken:
    return AuditBroken(
        f"{file}: line {at} is not as it was written: {what}",
        hint="Somebody or something changed the file. Look for a copy of it.",
    )


class _Tail(NamedTuple):
    """The end of the file: the last whole entry, what is there after it, whether a line break is
    the last that there is."""

    last: Entry | None
    torn: bytes | None
    ended: bool


def _tail_of(log: IO[bytes], end: int) -> _Tail:
    size = _TAIL_BYTES
    while True:
        start = max(end - size, 0)
        log.seek(start)
        lines = log.read(end - start).split(b"\n")
        ended = not lines[-1]
        if ended:
            lines.pop()
        if start:
            del lines[:1]  # cut by where we began
        for at in range(len(lines) - 1, -1, -1):
            if (last := _decoded(lines[at])) is not None:
                after = lines[at + 1 :]
                return _Tail(last, b"\n".join(after) if after else None, ended)
        if not start:
            return _Tail(None, b"\n".join(lines) if lines else None, ended)
        size *= 4


@contextmanager
def _locked(file: Path) -> Iterator[IO[bytes]]:
    # No link is followed: root writes here too, in a folder of the service's user.
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(file, flags, 0o600)
    with os.fdopen(fd, "r+b") as log:
        lock(fd)
        yield log


@contextmanager
def _opened(file: Path) -> Iterator[Iterator[bytes]]:
    try:
        with file.open("rb") as log:
            yield log
    except FileNotFoundError:
        yield iter(())
    except OSError as error:
        raise ConfigError(
            f"cannot read the audit log {file}: {error.strerror}",
            hint="Be the user that the server runs as, or make it readable.",
        ) from error


def _sha256(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _stamp(unix_s: float) -> str:
    moment = datetime.fromtimestamp(unix_s, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
