"""Where a server's log lines go, and how they look: text for people, JSON for machines.

Every line is a record of ``logging``; what there is beside its text is in its ``fields``. A line
never holds a prompt, an answer or a key: nobody here is handed one.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import msgspec

from kolo.cli.output import Status, look, talk
from kolo.config import LogSettings
from kolo.errors import ConfigError
from kolo.server.recent import ACCESS
from kolo.whole import NO_ROOM

ROOT = "kolo"
LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3}
"""Of syslog, which systemd reads at the beginning of a line (sd-daemon(3))."""


class Journal(logging.Handler):
    """Writes every record to stderr, or to ``log.file`` if one is set."""

    def __init__(self, settings: LogSettings) -> None:
        """ConfigError for a file that cannot be written."""
        super().__init__()
        self._status = Status()
        self.live = False
        """Whether a load may be shown as a line that is written over."""
        self.at_hand = True
        """Whether stderr is for a person who is there."""
        self.kept = False
        """Whether the log is read later, or by a program."""
        self._file: _LogFile | None = None
        self.follow(settings)

    def follow(self, settings: LogSettings) -> None:
        """Go by other settings; a file that is the same is opened anew. ConfigError as above, and
        then nothing has changed."""
        file = _LogFile(Path(settings.file).expanduser()) if settings.file else None
        self.acquire()
        try:
            before, self._file = self._file, file
            if before is not None:
                before.close()
            self._json = settings.format == "json"
            self.live = file is None and not self._json and look(sys.stderr).terminal
            self._to_journald = file is None and _is_journal(sys.stderr, os.environ)
            plain = not self._json and not self._to_journald
            self.at_hand = plain or file is not None
            self.kept = not plain or file is not None
        finally:
            self.release()
        self._level = LEVELS[settings.level]
        logging.getLogger(ROOT).setLevel(self._level)
        logging.getLogger(ACCESS).setLevel(logging.INFO)  # asked for by itself, whatever the level

    def reopen(self) -> None:
        """Begin the file anew under its name, which somebody has moved away."""
        if self._file is not None:
            self._file.reopen()

    def show(self, subject: str, fraction: float) -> None:
        """How far something is, on a terminal."""
        with _to_nobody():
            self._status.show(subject, fraction)

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < self._level and record.name != ACCESS:
            return
        try:
            line = self._line(record)
            if self._file is not None:
                self._file.write(line + "\n")
            else:
                self._say(line)
        except Exception:  # as every handler: a log line that fails must end nothing
            self.handleError(record)

    def close(self) -> None:
        with _to_nobody():
            self._status.clear()
        if self._file is not None:
            self._file.close()
        super().close()

    def _line(self, record: logging.LogRecord) -> str:
        level = _level(record.levelno)
        if self._json:
            return _json(record, level)
        text = _text(record)
        if self._to_journald:
            return "\n".join(f"<{_PRIORITIES[level]}>{line}" for line in text.splitlines())
        if self._file is None:
            return f"{time.strftime('%H:%M:%S', time.localtime(record.created))} {text}"
        at = datetime.fromtimestamp(record.created).astimezone()
        return f"{at.isoformat(' ', 'milliseconds')} {level:7} {text}"

    def _say(self, line: str) -> None:
        with _to_nobody():
            self._status.clear()
            if self._json:
                sys.stderr.write(line + "\n")
                sys.stderr.flush()
            else:
                talk(line)


class _LogFile:
    """Appends lines. A disk that is full costs lines, of which the next one that fits tells."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lost = 0
        try:
            self._fd = _open(path)
        except OSError as error:
            raise ConfigError(
                f"log.file: cannot write {path}: {error.strerror}",
                hint="Correct its permissions, or set log.file to another path.",
                param="log.file",
            ) from error

    def write(self, text: str) -> None:
        if self._lost:
            text = f"\n({self._lost} lines could not be written)\n{text}"
        data = text.encode("utf-8", "replace")
        try:
            if os.write(self._fd, data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            if not self._lost:
                with _to_nobody():
                    talk(f"{self._path} cannot be written: {error.strerror}")
            self._lost += 1
        else:
            self._lost = 0

    def reopen(self) -> None:
        try:
            fd = _open(self._path)
        except OSError as error:
            with _to_nobody():
                talk(f"{self._path} cannot be opened anew: {error.strerror}")
            return
        os.close(self._fd)
        self._fd = fd

    def close(self) -> None:
        os.close(self._fd)


@contextmanager
def journal(settings: LogSettings, *more: logging.Handler) -> Iterator[Journal]:
    """The log of this process, and ``more`` handlers beside it, for as long as the block runs."""
    writer = Journal(settings)
    root = logging.getLogger()
    for handler in (writer, *more):
        root.addHandler(handler)
    try:
        yield writer
    finally:
        for handler in (writer, *more):
            root.removeHandler(handler)
        for name in (ROOT, ACCESS):
            logging.getLogger(name).setLevel(logging.NOTSET)
        writer.close()


def check_file(settings: LogSettings) -> None:
    """ConfigError if ``log.file`` could not be written."""
    if settings.file:
        _LogFile(Path(settings.file).expanduser()).close()


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)


def _level(number: int) -> str:
    return next((name for name in reversed(LEVELS) if number >= LEVELS[name]), "debug")


def _text(record: logging.LogRecord) -> str:
    text = record.getMessage()
    request = _fields(record).get("request_id")
    if request and request not in text:
        text += f" (request {request})"
    return f"{text}\n{_trace(record)}" if record.exc_info else text


def _json(record: logging.LogRecord, level: str) -> str:
    at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    told: dict[str, Any] = {
        "time": at.replace("+00:00", "Z"),
        "level": level,
        "message": record.getMessage(),
        "logger": record.name,
        **_fields(record),
    }
    if record.exc_info:
        told["trace"] = _trace(record)
    return msgspec.json.encode(told, enc_hook=str).decode()


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    fields: Mapping[str, Any] = getattr(record, "fields", {})
    return fields


def _trace(record: logging.LogRecord) -> str:
    return logging.Formatter().formatException(record.exc_info) if record.exc_info else ""


def _is_journal(stream: TextIO | None, env: Mapping[str, str]) -> bool:
    """Whether systemd's journal reads ``stream``, which puts the time to each line itself
    (systemd.exec(5), JOURNAL_STREAM)."""
    try:
        status = os.fstat(stream.fileno()) if stream is not None else None
    except (OSError, ValueError):
        return False
    return status is not None and env.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


@contextmanager
def _to_nobody() -> Iterator[None]:
    """A terminal that is gone is no reason to stop serving: from then on nobody is told. A disk, or
    a pipe, that is full costs what would be said now."""
    try:
        yield
    except OSError as error:
        if error.errno in (*NO_ROOM, errno.EAGAIN):
            return
        nothing = os.open(os.devnull, os.O_WRONLY)
        for fd in (1, 2):
            os.dup2(nothing, fd)
        os.close(nothing)
