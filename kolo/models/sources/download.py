"""One file, from its source into its partial: as many connections as it takes, nothing mixed.

Blocking; ``transfer`` runs it in a thread of its own. What came is hashed as it is written.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from hashlib import sha256
from pathlib import Path

import httpx2

from kolo.errors import (
    ChecksumMismatch,
    ModelInvalid,
    ModelNotFound,
    SourceChanged,
    SourceDenied,
    SourceError,
    SourceUnreachable,
)
from kolo.models.sources.guard import origin
from kolo.models.sources.partial import Partial
from kolo.models.sources.plan import RemoteFile
from kolo.models.sources.progress import State
from kolo.models.sources.web import Broken, Web

TRIES = 6
"""In a row that bring less than ``PROGRESS_BYTES``."""
PROGRESS_BYTES = 1 << 20
FIRST_PAUSE_S = 0.5
MAX_PAUSE_S = 60.0
MIN_BYTES = 1024
"""In ``stall_s``; a connection that brings less is as good as dead."""
FOLLOW_S = 0.2

MAGIC = b"GGUF"
HEAD_BYTES = 64

_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})

Tell = Callable[[State, int, str], None]
"""What is going on, bytes of the file that are there, and a note for the person."""


class Stopped(Exception):
    """Somebody asked for an end; the partial is kept."""


class Download:
    """``run`` is called once; ``stop`` and ``Web.cut`` end it from elsewhere."""

    def __init__(
        self,
        web: Web,
        file: RemoteFile,
        folder: Path,
        *,
        have: Callable[[RemoteFile], Path | None],
        tell: Tell,
        stop: threading.Event,
        stall_s: float,
    ) -> None:
        self._web = web
        self._file = file
        self._folder = folder
        self._have = have
        self._tell = tell
        self._stop = stop
        self._stall_s = stall_s
        self._size = file.size_bytes
        self._validator = file.validator

    def run(self) -> Path | Partial:
        """Where the store holds it, or the partial: whole, checked, synced and still locked."""
        part = self._lock()
        if isinstance(part, Path):
            return part
        try:
            self._fill(part)
            return part
        except BaseException:
            part.close()
            raise

    def _lock(self) -> Path | Partial:
        """The partial to oneself, or what somebody else made of it meanwhile."""
        note = f"{self._file.name} is being fetched by another process, which goes first"
        while True:
            if held := self._have(self._file):
                return held
            if part := Partial.open(self._folder, self._file):
                # It may have been adopted between the question and the lock.
                if held := self._have(self._file):
                    part.remove()
                    part.close()
                    return held
                return part
            size = Partial.size(self._folder, self._file)
            self._tell("waiting", size, note)
            note = ""
            self._pause(FOLLOW_S)

    def _fill(self, part: Partial) -> None:
        reason = part.take_up(lambda n: self._tell("checking", n, ""), self._stop.is_set)
        self._check_stop()
        if reason:
            self._tell("downloading", 0, f"{reason}: it is fetched anew")
        if part.whole_sha256 is None and (part.n_bytes != self._size or not self._size):
            self._fetch(part)
        self._check_whole(part)

    def _fetch(self, part: Partial) -> None:
        """Connect until all is there. SourceUnreachable after TRIES in vain."""
        in_vain = 0
        while True:
            before = part.n_bytes
            self._tell("downloading", part.n_bytes, "")
            try:
                if self._connect(part):
                    return
                broken = _Again("the connection was closed early")
            except Broken as error:
                broken = _Again(str(error))
            except _Again as error:
                broken = error
            self._check_stop()
            in_vain = 0 if part.n_bytes - before >= PROGRESS_BYTES else in_vain + 1
            if in_vain >= TRIES:
                raise SourceUnreachable(
                    f"{self._host} breaks off again and again: {broken}",
                    hint=f"What came of {self._file.name} is kept: run it again later.",
                )
            pause_s = max(broken.after_s, FIRST_PAUSE_S * 2 ** max(in_vain - 1, 0))
            note = f"{broken}; trying again" if in_vain else ""
            self._tell("retrying", part.n_bytes, note)
            self._pause(min(pause_s, MAX_PAUSE_S) * random.uniform(0.8, 1.2))

    def _connect(self, part: Partial) -> bool:
        """One connection. True if nothing is missing after it."""
        headers = {}
        if part.n_bytes and (self._file.sha256 or self._validator):
            headers["Range"] = f"bytes={part.n_bytes}-"
            if self._file.sha256 is None and self._validator:
                headers["If-Range"] = self._validator
        with self._web.open(self._file.url, headers=headers) as response:
            match response.status_code:
                case 206 if "Range" in headers:
                    self._check_range(part, response)
                    return self._receive(part, response, skip=0)
                case 200:
                    self._check_length(response)
                    return self._receive(part, response, skip=part.n_bytes)
                case 416 if part.n_bytes:
                    return self._is_all(part, response)
            raise self._refusal(response)

    def _receive(self, part: Partial, response: httpx2.Response, skip: int) -> bool:
        """Append the body, but for its first ``skip`` bytes, which must be those that are there."""
        if skip:
            self._tell(
                "downloading",
                skip,
                f"{self._host} sends the file from its start again: what is there is compared",
            )
        prefix = sha256()
        watch_at, watch_bytes = time.monotonic(), 0
        for chunk in response.iter_raw():
            self._check_stop()
            watch_bytes += len(chunk)
            if time.monotonic() - watch_at > self._stall_s:
                if watch_bytes < MIN_BYTES:
                    raise _Again(f"less than {MIN_BYTES} bytes in {self._stall_s:g} s")
                watch_at, watch_bytes = time.monotonic(), 0
            if skip:
                old, chunk = chunk[:skip], chunk[skip:]
                prefix.update(old)
                skip -= len(old)
                if not skip and prefix.digest() != part.digest.digest():
                    raise self._changed(part)
            if chunk:
                self._append(part, chunk)
        if self._size is None and not skip and part.n_bytes:
            self._size = part.n_bytes  # the body came to its end, and nothing says otherwise
        return part.n_bytes == self._size and not skip

    def _append(self, part: Partial, chunk: bytes) -> None:
        if self._size is not None and part.n_bytes + len(chunk) > self._size:
            part.remove()
            raise SourceError(
                f"{self._host} sends more of {self._file.name} than the {self._size} bytes it "
                "should have",
                hint="What came was removed. Try again, or another source.",
            )
        unchecked = part.n_bytes < len(MAGIC)
        part.write(chunk)
        if unchecked:
            self._check_magic(part)
        self._tell("downloading", part.n_bytes, "")

    # What is checked ---------------------------------------------------------------------

    def _check_magic(self, part: Partial, *, whole: bool = False) -> None:
        head = part.head(HEAD_BYTES)
        expected = MAGIC if whole else MAGIC[: len(head)]
        if head[: len(MAGIC)] != expected:
            part.remove()
            raise ModelInvalid(
                f"{self._host} sends no GGUF file for {self._file.name}: {_looks_like(head)}",
                hint="Nothing was kept. Check the address: it may be that of a page about the "
                "file, not of the file.",
                param="model",
            )

    def _check_range(self, part: Partial, response: httpx2.Response) -> None:
        self._check_plain(response)
        match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if match is None or match[1] is None or int(match[1]) != part.n_bytes:
            raise SourceError(
                f"{self._host} was asked for the bytes from {part.n_bytes} on and answers with "
                f"others ({response.headers.get('Content-Range') or 'it does not say which'})",
                hint="What is there is kept. Try again, or another source.",
            )
        if match[3] != "*":
            self._check_size(int(match[3]))

    def _check_length(self, response: httpx2.Response) -> None:
        self._check_plain(response)
        if (length := response.headers.get("Content-Length", "")).isdigit():
            self._check_size(int(length))
        if self._validator is None:
            self._validator = strong_validator(response)

    def _check_size(self, size: int) -> None:
        if self._size is None:
            self._size = size
        elif self._size != size:
            raise SourceChanged(
                f"{self._file.name} should have {self._size} bytes, and {self._host} now says "
                f"{size}",
                hint="It changed, or the source is wrong about it: run it again to see which.",
            )

    def _check_plain(self, response: httpx2.Response) -> None:
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            raise SourceError(
                f"{self._host} sends {self._file.name} in the encoding {encoding[:40]}, which it "
                "was not asked to do",
                hint="Try another source.",
            )

    def _is_all(self, part: Partial, response: httpx2.Response) -> bool:
        """416: nothing follows what is there. Right if that is all."""
        match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if match is None or match[3] != str(part.n_bytes):
            raise self._changed(part)
        self._check_size(part.n_bytes)
        return True

    def _check_whole(self, part: Partial) -> None:
        if part.n_bytes < len(MAGIC):
            self._check_magic(part, whole=True)
        expected = self._file.sha256
        if part.digest_hex() != expected and expected is not None:
            part.remove()
            raise ChecksumMismatch(
                f"{self._file.name} came with the SHA-256 {part.digest_hex()}, and the source "
                f"says {expected}",
                hint="What came was removed: run it again. If it happens again, something on "
                "the way changes it, or the source is broken.",
            )
        part.finish()

    # What goes wrong ---------------------------------------------------------------------

    def _changed(self, part: Partial) -> SourceChanged:
        part.remove()
        return SourceChanged(
            f"{self._file.name} changed at {self._host} while it was fetched",
            hint="What came of the former was removed: run it again.",
        )

    def _refusal(self, response: httpx2.Response) -> Exception:
        status, host = response.status_code, response.url.host
        redirected = origin(response.url) != origin(httpx2.URL(self._file.url))
        if status in _AGAIN or (redirected and status in (401, 403)):  # a signature ran out
            return _Again(f"{host} answers {status}", _retry_after_s(response))
        if status in (401, 403):
            return SourceDenied(
                f"{host} does not let this machine fetch {self._file.name} ({status})",
                hint=self._web.auth.hint,
            )
        if status in (404, 410):
            return ModelNotFound(
                f"{host} does not have {self._file.name} (any more)",
                hint="Look again what there is: the name may have changed.",
                param="model",
            )
        return SourceError(f"{host} answers {status} when asked for {self._file.name}")

    @property
    def _host(self) -> str:
        return httpx2.URL(self._file.url).host

    def _pause(self, seconds: float) -> None:
        self._stop.wait(seconds)
        self._check_stop()

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise Stopped


class _Again(Exception):
    """Worth another try, not before ``after_s``."""

    def __init__(self, reason: str, after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.after_s = after_s


def strong_validator(response: httpx2.Response) -> str | None:
    """What If-Range takes: a strong ETag, else the date (RFC 9110, 13.1.5)."""
    etag = response.headers.get("ETag", "")
    if etag.startswith('"'):
        return etag
    return response.headers.get("Last-Modified")


def _retry_after_s(response: httpx2.Response) -> float:
    """Seconds, or a date (RFC 9110, 10.2.3); 0 if the source does not say."""
    told = response.headers.get("Retry-After", "").strip()
    if told.isdecimal():
        return float(told)
    try:
        return max(parsedate_to_datetime(told).timestamp() - time.time(), 0.0)
    except ValueError:
        return 0.0


def _looks_like(head: bytes) -> str:
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "it is a page of HTML"
    if text.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS to the file"
    if text.startswith((b"{", b"[")):
        return "it is JSON"
    return f"it begins with {head[:8]!r}" if head else "it is empty"
