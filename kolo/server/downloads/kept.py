"""Downloads that have not ended, kept over a restart in ``downloads.json`` of the state folder.

The file is for its owner alone: the address of a URL is kept whole, since without its query it
may lead nowhere. Of what a source said only the files are kept; it is asked again.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from kolo.config import Settings
from kolo.errors import BadParameter, ConfigError, DiskFull
from kolo.models.reference import HubRef, NameRef, PathRef, RemoteRef, UrlRef, parse
from kolo.models.sources.partial import Partial
from kolo.models.sources.plan import Plan, RemoteFile, Source
from kolo.server.downloads.job import Creation, Job
from kolo.server.keeping import StateFile

log = logging.getLogger(__name__)


class _Download(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: str
    reference: str
    name: str
    source: Source
    revision: str
    quant: str
    files: tuple[RemoteFile, ...]
    started_at: float
    paused: bool
    """By somebody; else it goes on by itself."""
    creation: Creation | None = None


class _Kept(Struct, kw_only=True, forbid_unknown_fields=True):
    """The file."""

    version: Literal[1] = 1
    downloads: list[_Download] = []


class KeptDownloads:
    """``file`` None keeps nothing."""

    def __init__(self, file: Path | None, settings: Settings) -> None:
        self._file = StateFile(file, _Kept, what="the downloads that were under way")
        self._settings = settings
        self._lock = threading.Lock()
        self._n_asked = self._n_written = 0
        self._last: list[_Download] | None = None

    def read(self, folder: Path) -> list[Job]:
        """Those of the last run, oldest first, with ``folder`` for the partial files."""
        kept = self._file.read()
        if self._file.problem:
            log.warning("%s", self._file.problem)
        found = (self._job(one, folder) for one in kept.downloads) if kept is not None else ()
        return [job for job in found if job is not None]

    async def write(self, jobs: Iterable[Job]) -> None:
        """Keep these and no others. A disk that will not have it is told of in the log alone: what
        is fetched is worth more than the list of it."""
        downloads = [_download(job) for job in jobs]
        if downloads == self._last:
            return
        self._last = downloads
        self._n_asked += 1
        await asyncio.to_thread(self._write, self._n_asked, downloads)

    def _write(self, number: int, downloads: list[_Download]) -> None:
        with self._lock:
            if number < self._n_written:
                return  # a later list was quicker
            self._n_written = number
            try:
                self._file.write(_Kept(downloads=downloads))
            except (ConfigError, DiskFull) as error:
                log.warning("a restart will not know of downloads: %s", error.message)

    def _job(self, kept: _Download, folder: Path) -> Job | None:
        try:
            reference = remote(kept.reference, self._settings)
        except BadParameter:
            reference = None
        if reference is None:
            log.warning("the download %s is lost: its reference cannot be read", kept.id)
            return None
        return Job(
            id=kept.id,
            plan=Plan(
                reference=reference,
                name=kept.name,
                source=kept.source,
                revision=kept.revision,
                quant=kept.quant,
                files=kept.files,
            ),
            folder=folder,
            creation=kept.creation,
            status="paused" if kept.paused else "downloading",
            stale=True,
            started_at=kept.started_at,
            part_bytes=sum(Partial.size(folder, file) for file in kept.files),
        )


def remote(text: str, settings: Settings) -> RemoteRef | None:
    """The source that ``text`` names; None if it names none. BadParameter for a malformed one."""
    meant = parse(text, ollama_host=settings.store.ollama_registry, may_be_path=False)
    return None if isinstance(meant, PathRef | NameRef) else meant


def _download(job: Job) -> _Download:
    plan = job.plan
    return _Download(
        id=job.id,
        reference=_whole(plan),
        name=plan.name,
        source=plan.source,
        revision=plan.revision,
        quant=plan.quant,
        files=tuple(replace(file, url=file.url.split("?")[0]) for file in plan.files),
        started_at=job.started_at,
        paused=job.status == "paused",
        creation=job.creation,
    )


def _whole(plan: Plan) -> str:
    """The reference, so that it leads to the same again whatever is the default then."""
    reference = plan.reference
    if isinstance(reference, UrlRef):
        return reference.url
    if isinstance(reference, HubRef) and not reference.file:
        return str(replace(reference, quant=plan.quant or reference.quant))
    return str(reference)
