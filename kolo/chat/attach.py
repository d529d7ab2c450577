"""Text files that go with a message: ``/file PATH``, and ``@PATH`` within one."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import NamedTuple

from kolo.errors import UsageError

MAX_BYTES = 4 << 20
"""More than any model can read."""
_MENTION = re.compile(r'(?<!\S)@(?:"([^"\n]+)"|(\S+))')
_PATH_LIKE = re.compile(r"[\w.~-]*/[\w./~-]+")
_IMAGES = {
    b"\x89PNG\r\n\x1a\n": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"RIFF": "an image or a sound (RIFF)",
    b"BM": "a BMP image",
    b"%PDF-": "a PDF",
}


class Attachment(NamedTuple):
    name: str
    """As the person named it."""
    text: str

    @property
    def n_bytes(self) -> int:
        return len(self.text.encode())


class Mentions(NamedTuple):
    """The files that a message names, and what only looks like one."""

    files: list[Attachment]
    missing: list[str]


def attach(name: str) -> Attachment:
    """The text of a file. UsageError if it is not there, no text, or too large."""
    path = _path(name)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            what = "a folder" if stat.S_ISDIR(status.st_mode) else "no ordinary file"
            raise UsageError(f"{name} is {what}", hint="/file PATH of a text file")
        if status.st_size > MAX_BYTES:
            raise UsageError(
                f"{name} has {status.st_size >> 20} MiB, and {MAX_BYTES >> 20} MiB may go along",
                hint="the part of it that matters: head, grep or split make one",
            )
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {name}: {error.strerror}", hint="/file PATH") from error
    return Attachment(name, _text(name, data))


def mentioned(message: str) -> Mentions:
    """The files after ``@`` in ``message``. Raises as ``attach`` for one that is there.

    What names no file stays as it is: an @ is also something else (a decorator, a person).
    """
    found = Mentions([], [])
    for quoted, bare in _MENTION.findall(message):
        name = quoted or next((each for each in _trimmed(bare) if _is_file(each)), "")
        if name and _is_file(name):
            if all(name != each.name for each in found.files):
                found.files.append(attach(name))
        elif quoted or _PATH_LIKE.fullmatch(bare):
            found.missing.append(quoted or bare)
    return found


def with_files(message: str, files: list[Attachment]) -> str:
    """The message, and each file after it between fences that it does not hold itself."""
    parts = [message]
    for file in files:
        longest = max((len(run) for run in re.findall(r"`{3,}", file.text)), default=2)
        fence = "`" * max(longest + 1, 3)
        language = Path(file.name).suffix.removeprefix(".")
        text = file.text if file.text.endswith("\n") else f"{file.text}\n"
        parts.append(f"File {file.name}:\n{fence}{language}\n{text}{fence}")
    return "\n\n".join(part for part in parts if part)


def _text(name: str, data: bytes) -> str:
    for magic, kind in _IMAGES.items():
        if data.startswith(magic) and (magic != b"BM" or b"\0" in data):
            raise UsageError(
                f"{name} is {kind}, and the models here read text alone",
                hint="what it says, as text",
            )
    at = data.find(b"\0")
    if at >= 0 and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UsageError(f"{name} is no text: byte 0x00 at offset {at}", hint="a text file")
    try:
        return data.decode("utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{name} is not UTF-8: byte {data[error.start]:#04x} at offset {error.start}",
            hint="iconv -t UTF-8 makes it so",
        ) from None


def _trimmed(name: str) -> list[str]:
    """``name``, and without the marks that may end a sentence."""
    return [name, name.rstrip(".,;:!?)]}'\"")]


def _is_file(name: str) -> bool:
    try:
        return _path(name).is_file()
    except (OSError, UsageError):
        return False


def _path(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise UsageError(f"cannot read {name}: {error}") from None
