"""Cached prefixes on disk, so that a model that is loaded again need not compute them again.

A file holds the tokens of one sequence and the state that llama.cpp gave for it::

    magic, 8 bytes
    length of the head, 4 bytes, little-endian
    head: msgpack of ``_Head``
    HMAC-SHA-256 (RFC 2104) of all before it, 32 bytes
    state

llama.cpp is fed nothing that is torn, changed or strange: the head is believed if a key that only
this server knows says so, and the state if its SHA-256 is the one in the head. A file that does
not pass, or belongs to another model file, other parameters or another build, is deleted.

Files are the owner's alone, and written whole or not at all. They are found at load by their
heads; a state is read when a prompt wants it.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import stat
import struct
import tempfile
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct

from kolo.types import LoadParams

SUFFIX = ".kv"
_PART = ".part"
_MAGIC = b"KOLOKV\x00\x01"
"""The last byte is the version of the format."""
_LENGTH = struct.Struct("<I")
_MAC_BYTES = 32
_MAX_HEAD_BYTES = 64 << 20
_CHUNK_BYTES = 4 << 20
_SAMPLE_BYTES = 64 << 10
MAX_ENTRIES = 256
"""Of one engine: each is held against each prompt."""

_WITHOUT_EFFECT = frozenset(
    {
        "batch", "ubatch", "threads", "threads_batch", "mmap", "mlock", "check_tensors", "warmup",
        "pooling", "chat_template", "cache_store_bytes", "prefill_budget_ms", "speculation",
        "draft_model", "sampling", "stop", "system", "lora", "gpu_layers", "main_gpu",
        "split_mode", "tensor_split", "devices", "kv_offload",
    }
)  # fmt: skip
"""Fields of LoadParams that leave the KV of given tokens as it is, but for rounding. LoRA counts
by its files."""


class Damaged(Exception):
    """A file that is not what was written."""


class _Head(Struct, frozen=True, array_like=True):
    identity: bytes
    tokens: bytes
    """Token ids, 32 bits each."""
    state_bytes: int
    state_sha256: bytes


@dataclass(slots=True, eq=False)
class SavedPrefix:
    """A sequence on disk."""

    path: Path
    tokens: array[int]
    n_bytes: int
    """Of the state."""


def identity(files: Sequence[str], params: LoadParams) -> bytes:
    """What saved KV belongs to, beside the build that computed it: the model's and adapters'
    files, and how they are loaded. Take it before they are."""
    relevant = {
        name: getattr(params, name)
        for name in LoadParams.__struct_fields__
        if name not in _WITHOUT_EFFECT
    }
    scales = [lora.scale for lora in params.lora]
    adapters = [lora.path for lora in params.lora]
    prints = [fingerprint(file) for file in (*files, *adapters)]
    return hashlib.sha256(msgspec.msgpack.encode([prints, scales, relevant])).digest()


def fingerprint(file: str) -> list[int | bytes | str]:
    """What tells a file from another in its place: size, time of change, first and last bytes.
    The name alone if it cannot be read."""
    try:
        with open(file, "rb") as opened:
            status = os.fstat(opened.fileno())
            sampled = opened.read(_SAMPLE_BYTES)
            opened.seek(max(status.st_size - _SAMPLE_BYTES, 0))
            sampled += opened.read(_SAMPLE_BYTES)
    except OSError:
        return [file]
    return [status.st_size, status.st_mtime_ns, hashlib.sha256(sampled).digest()]


class SavedPrefixes:
    """What is saved of one engine, in a folder of its own.

    Nothing here raises: what cannot be read is as good as not there, what cannot be written is
    told as ``problem``.
    """

    def __init__(self, folder: Path, identity: bytes, key: bytes) -> None:
        self.problem = ""
        """Why the last one could not be written; empty if it could."""
        self.entries: list[SavedPrefix] = []
        """Least recently used first."""
        self.n_discarded = 0
        """Files that were damaged, or did not belong to what is loaded."""
        self._folder = folder
        self._identity = identity
        self._key = key
        self._index()

    @property
    def n_bytes(self) -> int:
        return sum(entry.n_bytes for entry in self.entries)

    def free_bytes(self) -> int:
        """Of the disk that the folder is on or will be."""
        folder = self._folder
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        try:
            status = os.statvfs(folder)
        except OSError:
            return 0
        return status.f_bavail * status.f_frsize

    def read(self, entry: SavedPrefix) -> bytearray | None:
        """Its state, verified, and the entry marked as used; None, and the entry gone, if it is
        not what was written."""
        try:
            with _opened(entry.path) as file:
                head, start = self._head(file)
                if head.tokens != entry.tokens.tobytes():
                    raise Damaged("another file is in its place")
                state = _verified_state(file, head, start)
                os.utime(file.fileno())
        except (OSError, Damaged):
            self.drop(entry)
            self.n_discarded += 1
            return None
        self._touch(entry)
        return state

    def drop(self, entry: SavedPrefix) -> None:
        if entry in self.entries:
            self.entries.remove(entry)
        with suppress(OSError):
            entry.path.unlink()

    def find(self, tokens: array[int]) -> SavedPrefix | None:
        """An entry that begins with all of ``tokens``, and whose file nobody has removed."""
        for entry in self.entries:
            if entry.tokens[: len(tokens)] == tokens and entry.path.exists():
                return entry
        return None

    def touch(self, entry: SavedPrefix, at_ns: int) -> None:
        """Mark as used last, on disk as of ``at_ns`` since 1970."""
        with suppress(OSError):
            os.utime(entry.path, ns=(at_ns, at_ns))
        self._touch(entry)

    def keep(self, tokens: array[int], state: bytes | bytearray, deadline_s: float) -> bool:
        """Write a sequence; those that it begins with are redundant and go. False if it could
        not be written before ``deadline_s`` (time.monotonic), and then nothing of it is there."""
        head = _Head(self._identity, tokens.tobytes(), len(state), hashlib.sha256(state).digest())
        front = self._front(head)
        name = hashlib.sha256(front).hexdigest()[:32] + SUFFIX
        path = self._folder / name
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write_whole(path, (front, state), deadline_s)
        except (OSError, TimeoutError) as error:
            self.problem = getattr(error, "strerror", None) or str(error)
            return False
        for other in list(self.entries):
            if other.path == path or tokens[: len(other.tokens)] == other.tokens:
                self.entries.remove(other)
                if other.path != path:
                    with suppress(OSError):
                        other.path.unlink()
        self.entries.append(SavedPrefix(path, array("i", tokens), len(state)))
        self._bound()
        return True

    def _touch(self, entry: SavedPrefix) -> None:
        if entry in self.entries:
            self.entries.remove(entry)
            self.entries.append(entry)

    def _front(self, head: _Head) -> bytes:
        body = msgspec.msgpack.encode(head)
        front = _MAGIC + _LENGTH.pack(len(body)) + body
        return front + hmac.digest(self._key, front, "sha256")

    def _head(self, file: BinaryIO) -> tuple[_Head, int]:
        """The head, and where the state begins. Raises Damaged."""
        start = file.read(len(_MAGIC) + _LENGTH.size)
        if len(start) < len(_MAGIC) + _LENGTH.size or not start.startswith(_MAGIC):
            raise Damaged("not a saved prefix")
        (length,) = _LENGTH.unpack_from(start, len(_MAGIC))
        if length > _MAX_HEAD_BYTES:
            raise Damaged(f"a head of {length} bytes")
        body, mac = file.read(length), file.read(_MAC_BYTES)
        if not hmac.compare_digest(mac, hmac.digest(self._key, start + body, "sha256")):
            raise Damaged("not written by this server")
        head = _decode(body)
        if head.identity != self._identity:
            raise Damaged("of another model, other parameters or another build")
        at = len(start) + length + _MAC_BYTES
        if os.fstat(file.fileno()).st_size != at + head.state_bytes:
            raise Damaged("cut short")
        return head, at

    def _index(self) -> None:
        found: list[tuple[int, SavedPrefix]] = []
        for path in self._files():
            try:
                with _opened(path) as file:
                    head, _ = self._head(file)
                    used_ns = os.fstat(file.fileno()).st_mtime_ns
            except (OSError, Damaged):
                self.n_discarded += 1
                with suppress(OSError):
                    path.unlink()
                continue
            tokens = array("i")
            tokens.frombytes(head.tokens)
            found.append((used_ns, SavedPrefix(path, tokens, head.state_bytes)))
        self.entries = [entry for _, entry in sorted(found, key=lambda each: each[0])]
        self._bound()

    def _bound(self) -> None:
        for entry in self.entries[:-MAX_ENTRIES]:
            self.drop(entry)

    def _files(self) -> list[Path]:
        try:
            return [path for path in self._folder.iterdir() if path.suffix == SUFFIX]
        except OSError:
            return []


def _decode(body: bytes) -> _Head:
    try:
        return msgspec.msgpack.decode(body, type=_Head)
    except msgspec.MsgspecError as error:
        raise Damaged(f"a head that makes no sense: {error}") from error


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """A plain file of ours that nobody else may touch; OSError for anything else."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb", buffering=0) as file:
        status = os.fstat(fd)
        if (
            not stat.S_ISREG(status.st_mode)
            or status.st_uid != os.geteuid()
            or stat.S_IMODE(status.st_mode) & 0o077
        ):
            raise PermissionError(f"{path} is not a file for this user alone")
        yield file


def _verified_state(file: BinaryIO, head: _Head, start: int) -> bytearray:
    """The state, read and hashed piece by piece. Raises Damaged."""
    state = bytearray(head.state_bytes)
    view = memoryview(state)
    digest = hashlib.sha256()
    file.seek(start)
    at = 0
    while at < len(state):
        read = file.readinto(view[at : at + _CHUNK_BYTES])  # type: ignore[attr-defined]
        if not read:
            raise Damaged("cut short")
        digest.update(view[at : at + read])
        at += read
    if digest.digest() != head.state_sha256:
        raise Damaged("its content has changed")
    return state


def _write_whole(path: Path, parts: Sequence[bytes | bytearray], deadline_s: float) -> None:
    """As ``kolo.whole``, in pieces; TimeoutError, and nothing is left, when it takes too long."""
    fd, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=_PART)  # mode 0600
    try:
        with os.fdopen(fd, "wb", buffering=0) as file:
            fcntl.flock(fd, fcntl.LOCK_EX)  # whoever clears up sees that somebody writes
            for part in parts:
                view = memoryview(part)
                at = 0
                while at < len(view):
                    if time.monotonic() > deadline_s:
                        raise TimeoutError("the time for it was over")
                    at += file.write(view[at : at + _CHUNK_BYTES])
            os.fsync(fd)
            os.rename(name, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
