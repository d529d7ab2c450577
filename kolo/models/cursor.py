"""Walks through the values of a GGUF file without ever believing a length the file cannot hold.

Plain reads and no mmap: a mapped file that somebody truncates kills its reader with SIGBUS.
"""

from __future__ import annotations

import re
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from msgspec import Struct

from kolo.errors import ModelInvalid, ModelNotFound

UNFINISHED = "The download or copy did not finish, or the file is damaged; fetch it again."

_PIECE_BYTES = 1 << 18
_SMALL_ARRAY_BYTES = 1 << 16
_MAX_TEXT_BYTES = 1 << 24
_MAX_TEXTS_BYTES = 1 << 26
_MAX_SMALL_ARRAYS_BYTES = 1 << 22
"""Of all that is kept together: what a hostile file can make us keep, times ten in memory."""
_MAX_STRINGS = 1 << 22
"""In all arrays together, as each is walked over; the largest vocabularies have a tenth."""

_BATCH = 128
_STRING, _ARRAY = 8, 9
_SCALARS = {
    0: ("u8", struct.Struct("<B")),
    1: ("i8", struct.Struct("<b")),
    2: ("u16", struct.Struct("<H")),
    3: ("i16", struct.Struct("<h")),
    4: ("u32", struct.Struct("<I")),
    5: ("i32", struct.Struct("<i")),
    6: ("f32", struct.Struct("<f")),
    7: ("bool", struct.Struct("<?")),
    10: ("u64", struct.Struct("<Q")),
    11: ("i64", struct.Struct("<q")),
    12: ("f64", struct.Struct("<d")),
}
"""Number of a value type in the file: our name for it, how it is packed."""


class LazyArray(Struct, frozen=True):
    """A metadata array that was left on disk; ``Cursor.items`` reads it."""

    item_type: str
    """``string`` or one of u8, i8, u16, i16, u32, i32, f32, bool, u64, i64, f64."""
    length: int
    offset: int
    n_bytes: int


@contextmanager
def open_cursor(path: Path) -> Iterator[Cursor]:
    """A cursor at the start of a regular file; ModelNotFound if there is none."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ModelInvalid(f"{path}: not a regular file", hint="Give the path of a .gguf file.")
        with open(path, "rb") as file:
            yield Cursor(file, status.st_size, path)
    except FileNotFoundError:
        raise ModelNotFound(f"{path}: no such file") from None
    except OSError as error:
        raise ModelInvalid(f"{path}: cannot be read: {error.strerror}") from error


@cache
def _short_strings() -> re.Pattern[bytes]:
    """``_BATCH`` strings of under 64 bytes in a row, each after its length: one call for what
    would be a hundred turns of a loop. Possessive, so that a mismatch is found in one pass."""
    forms = (b"\\x%02x\\x00{7}.{%d}" % (length, length) for length in range(64))
    return re.compile(b"(?:%s){%d}+" % (b"|".join(forms), _BATCH), re.DOTALL)


class Cursor:
    """A position in a file of ``size`` bytes. Every method raises ModelInvalid, saying what."""

    def __init__(self, file: BinaryIO, size: int, path: Path) -> None:
        self.pos = 0
        self.size = size
        self.path = path
        self._file = file
        self._piece = b""
        self._piece_at = 0
        self._strings = 0
        self._texts_bytes = 0
        self._small_arrays_bytes = 0

    def value(self, key: str) -> Any:
        """A typed metadata value; a long array is passed over and told of instead."""
        kind = self.u32(f"the type of {key}")
        if kind == _STRING:
            text = self._text(key)
            self._texts_bytes += len(text)
            if self._texts_bytes > _MAX_TEXTS_BYTES:
                raise self.invalid(f"its texts are together over {_MAX_TEXTS_BYTES} bytes")
            return text
        if kind == _ARRAY:
            return self._array(key)
        if kind not in _SCALARS:
            raise self.invalid(f"{key} has the unknown type {kind}")
        _, form = _SCALARS[kind]
        return form.unpack(self.take(form.size, key))[0]

    def items(self, array: LazyArray, key: str) -> list[Any]:
        """Read what ``value`` passed over."""
        if array.length > _MAX_STRINGS:
            raise self.invalid(f"{key} has {array.length} items, over {_MAX_STRINGS}")
        self.pos = array.offset
        if array.item_type == "string":
            return [self._text(key) for _ in range(array.length)]
        form = next(form for name, form in _SCALARS.values() if name == array.item_type)
        return [item for (item,) in form.iter_unpack(self.take(array.n_bytes, key))]

    def name(self, limit_bytes: int, what: str) -> str:
        """A short printable string, safe to show in a message."""
        raw = self._string(limit_bytes, what)
        text = raw.decode(errors="replace")
        if not text.isprintable() or "\ufffd" in text:
            raise self.invalid(f"{what} is not printable text: {raw[:40]!r}", hint=UNFINISHED)
        return text

    def count(self, item_bytes: int, what: str) -> int:
        """A number of things, each of which takes at least ``item_bytes`` of what follows."""
        n = self.u64(f"the number of {what}")
        if n * item_bytes > self.size - self.pos:
            raise self.invalid(
                f"truncated or damaged: {n} {what} need more than the file's {self.size} bytes",
                hint=UNFINISHED,
            )
        return n

    def u32(self, what: str) -> int:
        return int.from_bytes(self.take(4, what), "little")

    def u64(self, what: str) -> int:
        return int.from_bytes(self.take(8, what), "little")

    def take(self, n: int, what: str) -> bytes:
        self._need(self.pos + n, what)
        start = self.pos - self._piece_at
        if not 0 <= start <= len(self._piece) - n:
            self._fill(n)
            start = 0
        self.pos += n
        return self._piece[start : start + n]

    def peek(self, n: int) -> bytes:
        """Up to ``n`` bytes from here on."""
        self._fill(0)
        return self._piece[:n]

    def invalid(self, what: str, *, hint: str = "") -> ModelInvalid:
        return ModelInvalid(f"{self.path}: {what}", hint=hint)

    def _array(self, key: str) -> list[Any] | LazyArray:
        kind = self.u32(f"the item type of {key}")
        if kind == _STRING:
            name, length = "string", self.count(8, f"items of {key}")
            offset = self.pos
            self._skip_strings(length, key)
        elif kind in _SCALARS:
            name, form = _SCALARS[kind]
            length = self.count(form.size, f"items of {key}")
            offset = self.pos
            self.pos += length * form.size
        else:
            raise self.invalid(f"{key} is an array of the unsupported type {kind}")
        array = LazyArray(name, length, offset, self.pos - offset)
        kept_bytes = self._small_arrays_bytes + array.n_bytes
        if array.n_bytes > _SMALL_ARRAY_BYTES or kept_bytes > _MAX_SMALL_ARRAYS_BYTES:
            return array
        self._small_arrays_bytes = kept_bytes
        return self.items(array, key)

    def _skip_strings(self, n: int, what: str) -> None:
        """Pass over ``n`` strings: nearly all the time that a large vocabulary takes."""
        self._strings += n
        if self._strings > _MAX_STRINGS:
            raise self.invalid(f"its arrays have over {_MAX_STRINGS} strings, at {what}")
        while n >= _BATCH:
            start = self.pos - self._piece_at
            batch = _short_strings().match(self._piece, start) if start >= 0 else None
            if batch is not None:
                self.pos = self._piece_at + batch.end()
            else:
                self._walk_strings(_BATCH, what)
            n -= _BATCH
        self._walk_strings(n, what)

    def _walk_strings(self, n: int, what: str) -> None:
        """The same one by one, whatever their lengths, and with new pieces read."""
        length_at = struct.Struct("<Q").unpack_from
        pos, last = self.pos, -1
        for _ in range(n):
            if pos > last:
                self._need(pos + 8, what)
                self.pos = pos
                if not 0 <= pos - self._piece_at <= len(self._piece) - 8:
                    self._fill(8)
                piece, at = self._piece, self._piece_at
                last = at + len(piece) - 8
            pos += 8 + length_at(piece, pos - at)[0]
        self._need(pos, what)
        self.pos = pos

    def _need(self, end: int, what: str) -> None:
        if end > self.size:
            raise self.invalid(
                f"truncated or damaged: needs {end} bytes to hold {what}, has {self.size}",
                hint=UNFINISHED,
            )

    def _string(self, limit_bytes: int, what: str) -> bytes:
        n = self.u64(f"the length of {what}")
        self._need(self.pos + n, what)
        if n > limit_bytes:
            raise self.invalid(f"{what} is {n} bytes long, over the limit of {limit_bytes}")
        return self.take(n, what)

    def _text(self, what: str) -> str:
        return self._string(_MAX_TEXT_BYTES, what).decode(errors="replace")

    def _fill(self, n: int) -> None:
        self._file.seek(self.pos)
        self._piece = self._file.read(max(n, _PIECE_BYTES))
        self._piece_at = self.pos
        if len(self._piece) < n:
            raise self.invalid("became shorter while it was read", hint=UNFINISHED)
