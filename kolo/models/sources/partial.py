"""What there is of a file so far: ``KEY.part``, and ``KEY.json`` that says of what it is a part.

One process writes it at a time; the lock is on the ``.part`` itself (flock(2)), so it goes with
the process. What was written survives a kill, as the page cache does; what was not yet synced
does not survive a crash of the machine, so after one (another boot id) only the synced length
counts.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from kolo.errors import ConfigError, DiskFull
from kolo.models.sources.plan import RemoteFile
from kolo.whole import NO_ROOM, write_whole

BLOCK_BYTES = 1 << 20
SYNC_BYTES = 256 << 20
"""Written between two syncs at most."""

_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Note(Struct, frozen=True, kw_only=True):
    """The file beside the partial. Holds no URL, which may be signed."""

    name: str
    validator: str | None = None
    sha256: str | None = None
    size_bytes: int | None = None
    boot: str = ""
    synced_bytes: int = 0
    whole_sha256: str | None = None
    """Of the content, once it is all there and synced."""
    whole_mtime_ns: int = 0


class Partial:
    """An open, locked partial file. ``n_bytes`` of it are good; ``digest`` is their SHA-256."""

    def __init__(self, folder: Path, file: RemoteFile, fd: int) -> None:
        self.path = part_path(folder, file.key)
        self.n_bytes = 0
        self.digest = hashlib.sha256()
        self.whole_sha256: str | None = None
        """Once nothing is missing."""
        self._beside = self.path.with_suffix(".json")
        self._file = file
        self._fd = fd
        self._note = Note(
            name=file.name,
            validator=file.validator,
            sha256=file.sha256,
            size_bytes=file.size_bytes,
            boot=_boot_id(),
        )

    @classmethod
    def open(cls, folder: Path, file: RemoteFile) -> Partial | None:
        """None while somebody else has it. ConfigError if the folder cannot be written to."""
        path = part_path(folder, file.key)
        while True:
            with writing(path):
                folder.mkdir(parents=True, exist_ok=True)
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(fd)
                return None
            if _is_at(fd, path):
                return cls(folder, file, fd)
            os.close(fd)  # renamed away just now: it has become a model

    @staticmethod
    def size(folder: Path, file: RemoteFile) -> int:
        """Bytes that whoever is writing it has so far."""
        try:
            return part_path(folder, file.key).stat().st_size
        except FileNotFoundError:
            return 0

    def close(self) -> None:
        """Give up the lock. What is there stays; of a partial that has become a model nothing."""
        if not self.path.exists():
            with writing(self.path):
                self._beside.unlink(missing_ok=True)
        os.close(self._fd)

    def remove(self) -> None:
        with writing(self.path):
            self.path.unlink(missing_ok=True)
            self._beside.unlink(missing_ok=True)

    def take_up(self, told: Callable[[int], None], stopped: Callable[[], bool]) -> str:
        """Go on from what an earlier try left, if it is of this very file; else say why not, and
        begin anew. ``told`` is how many bytes were read in so far."""
        before, size = self._read_note(), os.fstat(self._fd).st_size
        reason = self._stranger(before, size) if size else ""
        if before is None or reason:
            size = 0
        elif self._is_whole(before, size):
            self.n_bytes, self.whole_sha256 = size, before.whole_sha256
            told(size)
            return ""
        elif before.boot != self._note.boot:
            size = min(size, before.synced_bytes)
        with writing(self.path):
            os.ftruncate(self._fd, size)
        self._save(synced_bytes=min(size, before.synced_bytes if before is not None else 0))
        self._read_in(size, told, stopped)
        return reason

    def write(self, data: bytes) -> None:
        """Append. DiskFull, with all that found room kept."""
        rest = memoryview(data)
        while rest:
            with writing(self.path):
                n = os.pwrite(self._fd, rest, self.n_bytes)
            self.digest.update(rest[:n])
            self.n_bytes += n
            rest = rest[n:]
        if self.n_bytes - self._note.synced_bytes >= SYNC_BYTES:
            with writing(self.path):
                os.fdatasync(self._fd)
            self._save(synced_bytes=self.n_bytes)

    def digest_hex(self) -> str:
        """Of all that is there."""
        return self.whole_sha256 or self.digest.hexdigest()

    def head(self, n_bytes: int) -> bytes:
        return os.pread(self._fd, n_bytes, 0)

    def finish(self) -> str:
        """Nothing is missing: put it on the disk for good. The SHA-256 of all of it."""
        if self.whole_sha256 is None:
            with writing(self.path):
                os.fsync(self._fd)
            self.whole_sha256 = self.digest.hexdigest()
            self._save(
                synced_bytes=self.n_bytes,
                size_bytes=self.n_bytes,
                whole_sha256=self.whole_sha256,
                whole_mtime_ns=os.fstat(self._fd).st_mtime_ns,
            )
        return self.whole_sha256

    def _stranger(self, before: Note | None, size: int) -> str:
        """Why what is there is of no use; empty if it is. Its key is the same in any case."""
        if before is None:
            return "what an earlier try left says not what it is"
        if self._file.sha256 is None:
            if before.validator != self._file.validator:
                return "the file changed at its source since the last try"
            if before.validator is None:
                return "the source gives no way to tell whether the file is still the same"
        expected = self._file.size_bytes
        return "what an earlier try left is too long" if expected and size > expected else ""

    def _is_whole(self, before: Note, size: int) -> bool:
        return (
            before.whole_sha256 is not None
            and before.size_bytes == size
            and before.whole_mtime_ns == os.fstat(self._fd).st_mtime_ns
        )

    def _read_in(self, size: int, told: Callable[[int], None], stopped: Callable[[], bool]) -> None:
        while self.n_bytes < size and not stopped():
            block = os.pread(self._fd, min(BLOCK_BYTES, size - self.n_bytes), self.n_bytes)
            if not block:
                break
            self.digest.update(block)
            self.n_bytes += len(block)
            told(self.n_bytes)

    def _read_note(self) -> Note | None:
        try:
            return msgspec.json.decode(self._beside.read_bytes(), type=Note)
        except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
            return None

    def _save(self, **changes: object) -> None:
        self._note = replace(self._note, **changes)
        with writing(self.path):
            write_whole(self._beside, msgspec.json.encode(self._note))


def part_path(folder: Path, key: str) -> Path:
    return folder / f"{key}.part"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """An OSError as one of ours: DiskFull where there is no room, ConfigError for the rest."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise DiskFull(
                f"no room for {path.name} in {path.parent}: {error.strerror}",
                hint="Make room and run it again: it goes on from what is there. kolo prune "
                "removes what no model needs.",
            ) from error
        raise ConfigError(
            f"cannot write {path}: {error.strerror}",
            hint="Correct the folder's permissions, or choose another with store.dir.",
        ) from error


def _is_at(fd: int, path: Path) -> bool:
    """Whether ``path`` is still the file that ``fd`` has open."""
    try:
        return os.path.samestat(os.fstat(fd), path.lstat())
    except FileNotFoundError:
        return False


def _boot_id() -> str:
    """Another after each start of the machine; empty where the system does not say."""
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""
