"""A file of state that the next start reads: written whole or not at all, never overwritten
where it could not be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from kolo.errors import ConfigError, DiskFull
from kolo.whole import NO_ROOM, write_whole

T = TypeVar("T")


class StateFile(Generic[T]):
    """``path`` None keeps nothing. ``what`` is what would be lost with it, for the person.

    ``problem`` says why the file could not be read; it was then set aside, or where that could
    not be, nothing is kept any more.
    """

    def __init__(self, path: Path | None, kind: type[T], *, what: str) -> None:
        self._path = path
        self._what = what
        self._decoder = msgspec.json.Decoder(kind, dec_hook=_from_text)
        self.problem = ""

    def read(self) -> T | None:
        """What the last start kept, if anything. ConfigError for a file that may not be read."""
        if self._path is None:
            return None
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigError(
                f"cannot read {self._path}: {error.strerror}",
                hint=f"Make it readable, or remove it: {self._what} are then forgotten.",
            ) from error
        try:
            return self._decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            aside = self._path.with_suffix(".unreadable.json")
            self.problem = f"{self._what} are lost: {aside} cannot be read: {error}"
            try:
                self._path.rename(aside)
            except OSError as refused:
                self._path, path = None, self._path
                self.problem = (
                    f"{self._what} are lost, and nothing is kept from now on: {path} cannot be "
                    f"read: {error}; nor set aside: {refused.strerror}"
                )
            return None

    def write(self, value: T) -> None:
        """DiskFull or ConfigError if it cannot be written; what was kept before is then kept
        still."""
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._path, _encode(value))
        except OSError as error:
            kind = DiskFull if error.errno in NO_ROOM else ConfigError
            raise kind(
                f"cannot write {self._path}: {error.strerror}",
                hint="Make room or correct its permissions; until then a restart of the "
                "server brings back what it had before.",
            ) from error


def _encode(value: object) -> bytes:
    plain = msgspec.to_builtins(value, enc_hook=_plain)
    return msgspec.json.format(msgspec.json.encode(plain), indent=2) + b"\n"


def _plain(value: Any) -> str | float:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float):  # units.Seconds
        return float(value)
    raise TypeError(f"{type(value).__name__} has no place in the file")


def _from_text(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise TypeError(f"{kind.__name__} has no place in the file")
