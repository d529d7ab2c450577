"""API keys: the file that ``kolo keys`` writes and a server reads.

A secret is ``kolo_ID_RANDOM`` with 256 random bits, shown once and kept only as its SHA-256. A slow
hash with a salt protects what people choose, since that can be guessed; 256 random bits cannot,
and a server checks a key with each request. The id, which is no secret, finds the entry; the
digests are then compared in constant time, an unknown id against a digest that nobody has.

Revoked keys stay in the file: the last one that is revoked must not open a server to everybody.
Times of expiry are of the wall clock, in Unix seconds.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import shlex
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from kolo.errors import BadParameter, ConfigError, UsageError
from kolo.flock import lock
from kolo.paths import Paths
from kolo.whole import give_to_owner_of, write_whole

Scope = Literal["infer", "read", "manage"]
SCOPES: dict[Scope, str] = {
    "infer": "ask models, and see which there are",
    "read": "see engines, figures, logs and settings",
    "manage": "load, unload, add, remove and download models, change settings; see all of it",
}
MAX_FILE_BYTES = 16 << 20
LOOK_EVERY_S = 1.0
"""How often a server looks whether the file has changed: so soon does a revocation hold."""
_SECRET = re.compile(r"kolo_([0-9a-f]{8})_([A-Za-z0-9_-]{43})")
_NAME = re.compile(r"[^\s/\x00-\x1f\x7f](?:[^\x00-\x1f\x7f]{0,62}[^\s\x00-\x1f\x7f])?")
_NOBODY = hashlib.sha256(secrets.token_bytes(32)).hexdigest()

Rate = Annotated[int, Meta(ge=0, le=10**12)]


class Key(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry. Rates are per minute; None is the server's own, 0 is none."""

    id: Annotated[str, Meta(pattern="^[0-9a-f]{8}$")]
    name: str
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    scopes: tuple[Scope, ...]
    created: float
    expires: float | None = None
    revoked: float | None = None
    requests_per_minute: Rate | None = None
    tokens_per_minute: Rate | None = None

    def state(self, now: float) -> Literal["valid", "expired", "revoked"]:
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "valid"


class _File(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: Literal[1] = 1
    keys: tuple[Key, ...] = ()


def keys_file(paths: Paths) -> Path:
    return paths.state / "keys.json"


def new_key(
    name: str,
    scopes: Iterable[Scope],
    *,
    expires: float | None = None,
    requests_per_minute: int | None = None,
    tokens_per_minute: int | None = None,
    now: float | None = None,
) -> tuple[Key, str]:
    """A key and its secret, which is nowhere else. BadParameter for a name that is none."""
    if not _NAME.fullmatch(name):
        raise BadParameter(
            f"{name!r} cannot be the name of a key",
            hint="One line of 1 to 64 characters, such as the name of who is to have it.",
            param="name",
        )
    id = secrets.token_hex(4)
    secret = f"kolo_{id}_{secrets.token_urlsafe(32)}"
    key = Key(
        id=id,
        name=name,
        sha256=_digest(secret),
        scopes=tuple(scope for scope in SCOPES if scope in set(scopes)),
        created=time.time() if now is None else now,
        expires=expires,
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
    )
    return key, secret


def matching(keys: dict[str, Key], secret: str) -> Key | None:
    """The key of ``secret``, whatever its state; None if there is none."""
    found = _SECRET.fullmatch(secret)
    key = keys.get(found[1]) if found else None
    same = hmac.compare_digest(_digest(secret), key.sha256 if key else _NOBODY)
    return key if same else None


def read_keys(file: Path) -> dict[str, Key]:
    """By id, oldest first; none where there is no file. ConfigError if it cannot be read: a
    server must not take that for "no keys"."""
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(
            f"cannot read the keys in {file}: {error.strerror}", hint="Make it readable."
        ) from error
    try:
        if len(data) > MAX_FILE_BYTES:
            raise msgspec.DecodeError("it is too large")
        found = msgspec.json.decode(data, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the keys in {file} cannot be read: {error}",
            hint="Put a copy of it back, or move it away and make new keys.",
        ) from error
    return {key.id: key for key in found.keys}


def add_key(file: Path, key: Key) -> None:
    """Keep one more. UsageError if a valid one has its name, ConfigError if it cannot be kept."""
    with _changing(file):
        keys = read_keys(file)
        taken = [one for one in keys.values() if one.name == key.name]
        if key.id in keys or any(one.state(key.created) == "valid" for one in taken):
            raise UsageError(
                f"there is a key named {key.name!r} already",
                hint="Another name, or revoke that one first: "
                f"kolo keys revoke {shlex.quote(key.name)}",
                param="name",
            )
        _write(file, [*keys.values(), key])


def revoke_key(file: Path, reference: str, *, now: float | None = None) -> Key:
    """Revoke the key of that id or name. UsageError if there is none that is not revoked, or
    if a name has several."""
    with _changing(file):
        keys = read_keys(file)
        left = [one for one in keys.values() if one.revoked is None]
        found = [one for one in left if reference in (one.id, one.name)]
        if len(found) != 1:
            raise UsageError(
                f"{len(found) or 'no'} keys are named {reference!r}",
                hint="kolo keys ls shows their ids",
                param="key",
            )
        gone = replace(found[0], revoked=time.time() if now is None else now)
        _write(file, [gone if one.id == gone.id else one for one in keys.values()])
        return gone


class Keyring:
    """The keys as a server knows them: read again when the file has changed.

    A file that cannot be read any more leaves those known before, and ``problem`` says why.
    """

    def __init__(
        self,
        file: Path | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.problem = ""
        self._file = file
        self._clock = clock
        self._wall = wall
        self._looked_at_s = clock()
        self._seen = self._stamp()
        self._keys = read_keys(file) if file is not None else {}

    def __len__(self) -> int:
        """Keys that were ever made, revoked ones too."""
        self.look()
        return len(self._keys)

    def find(self, secret: str) -> Key | None:
        """The valid key of ``secret``."""
        self.look()
        key = matching(self._keys, secret)
        return key if key is not None and key.state(self._wall()) == "valid" else None

    def valid(self, id: str) -> bool:
        self.look()
        key = self._keys.get(id)
        return key is not None and key.state(self._wall()) == "valid"

    def any_valid(self) -> bool:
        self.look()
        return any(key.state(self._wall()) == "valid" for key in self._keys.values())

    def look(self) -> None:
        """Read the file again if it is another than before; at most once in LOOK_EVERY_S."""
        now_s = self._clock()
        if self._file is None or now_s - self._looked_at_s < LOOK_EVERY_S:
            return
        self._looked_at_s = now_s
        seen = self._stamp()
        if seen == self._seen:
            self.problem = ""
            return
        try:
            if seen is None:  # gone: whoever had a key keeps it until a new file is there
                raise ConfigError(f"the keys in {self._file} are gone")
            self._keys = read_keys(self._file)
            self._seen = seen
            self.problem = ""
        except ConfigError as error:
            self.problem = error.message

    def _stamp(self) -> tuple[int, int, int] | None:
        """Changes whenever the file does: it is only ever replaced."""
        try:
            status = self._file.stat() if self._file is not None else None
        except OSError:
            return None
        return None if status is None else (status.st_ino, status.st_mtime_ns, status.st_size)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def _write(file: Path, keys: Iterable[Key]) -> None:
    document = msgspec.json.format(msgspec.json.encode(_File(keys=tuple(keys))), indent=2)
    owner = file.parent.stat()
    given = (owner.st_uid, owner.st_gid) if os.geteuid() == 0 else None
    write_whole(file, document + b"\n", owner=given)


@contextmanager
def _changing(file: Path) -> Iterator[None]:
    """One at a time changes the file (flock(2)). ConfigError if it cannot be changed at all."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # No link is followed: root comes here too, in a folder of the service's user.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(file.with_suffix(".lock"), flags, 0o600)
        try:
            lock(fd)
            give_to_owner_of(file.parent, file.with_suffix(".lock"))
            yield
        finally:
            os.close(fd)
    except OSError as error:
        raise ConfigError(
            f"cannot write {file}: {error.strerror}",
            hint="Make room or correct its permissions, or be the user that the server runs as.",
        ) from error
