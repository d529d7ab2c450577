"""All downloads of a server: one task each, shared by whoever asks for the same model.

What is fetched ends up in the store, as with ``kolo pull``. A paused download, and one that was
under way when the server ended, is a partial file in the store: it goes on when it is asked for.
"""

from __future__ import annotations

import asyncio
import logging

from kolo.config import Settings
from kolo.errors import BadParameter, Busy, KoloError, ModelNotFound, SourceUnreachable, internal
from kolo.models.reference import NameRef, PathRef, RemoteRef, parse
from kolo.models.sources.partial import Partial
from kolo.models.sources.plan import Plan, plan
from kolo.models.sources.progress import Progress
from kolo.models.sources.transfer import Transfer
from kolo.models.store import Added, need_store
from kolo.monitor.feed import Feed
from kolo.server.downloads.job import Creation, Job

ASK_S = 60.0
"""For a source to say what it has."""
MAX_ACTIVE = 16
CONFLICT = 409
MAX_ENDED = 100
"""Ended downloads that can still be asked about."""

log = logging.getLogger(__name__)


class DownloadNotFound(ModelNotFound):
    code = "download_not_found"


class DownloadOver(BadParameter):
    """It has ended, or is not in a state that this can be done in."""

    code = "download_not_active"


class Downloads:
    """Lives on one event loop. ``close`` ends all that runs; partial files stay."""

    def __init__(self, settings: Settings, feed: Feed) -> None:
        self._settings = settings
        self._feed = feed
        self._jobs: dict[str, Job] = {}
        self._allow_private = settings.downloads.allow_private

    async def ask(self, reference: RemoteRef) -> Plan:
        """What would be fetched. Raises as ``sources.plan``, and ConfigError without a store."""
        need_store(self._settings)
        try:
            async with asyncio.timeout(ASK_S):
                return await plan(reference, self._settings, allow_private=self._allow_private)
        except TimeoutError:
            raise SourceUnreachable(
                f"{reference} did not say within {ASK_S:.0f} s what it is", hint="Try again later."
            ) from None

    def start(self, id: str, what: Plan, creation: Creation | None = None) -> Job:
        """Begin, or go on where an earlier try ended; what is under way is left as it is."""
        job = self._jobs.get(id)
        if job is not None and job.status in ("downloading", "creating_engine"):
            return job
        if sum(one.is_active for one in self._jobs.values()) >= MAX_ACTIVE:
            raise Busy(
                f"{MAX_ACTIVE} downloads are under way already",
                hint="Wait for one to end, or cancel one: GET /downloads lists them.",
                retry_after_s=60.0,
            )
        job = Job(id=id, plan=what, folder=need_store(self._settings).partial, creation=creation)
        self._jobs.pop(id, None)
        self._jobs[id] = job
        self._forget_oldest()
        self._run(job)
        return job

    def find(self, id: str) -> Job:
        """Raises DownloadNotFound."""
        if id not in self._jobs:
            raise DownloadNotFound(
                f"there is no download {id[:200]!r}",
                hint="GET /downloads lists those under way.",
                param="model_id",
            )
        return self._jobs[id]

    def active(self) -> list[Job]:
        """Oldest first."""
        return [job for job in self._jobs.values() if job.is_active]

    async def pause(self, id: str) -> Job:
        """Stop for now. DownloadOver if it is not downloading."""
        job = self.find(id)
        if job.status != "downloading":
            raise DownloadOver(f"the download {id!r} is {job.status}", param="model_id")
        job.status = "paused"
        await self._stop(job)
        return job

    def resume(self, id: str) -> Job:
        """Go on. DownloadOver if it is not paused."""
        job = self.find(id)
        if job.status != "paused":
            raise DownloadOver(f"the download {id!r} is {job.status}", param="model_id")
        job.status = "downloading"
        self._run(job)
        return job

    async def cancel(self, id: str) -> Job:
        """Give it up, and remove what came of it, unless others fetch the same. DownloadOver if
        it has ended, or its engine is being made."""
        job = self.find(id)
        if job.status not in ("downloading", "paused"):
            raise DownloadOver(f"the download {id!r} is {job.status}", param="model_id")
        job.end("cancelled")
        await self._stop(job)
        for file in job.plan.files:
            part = await asyncio.to_thread(Partial.open, job.folder, file)
            if part is not None:  # else another process is at it
                part.remove()
                part.close()
        self._feed.download_failed(job.id, "it was cancelled", "download_cancelled")
        return job

    async def close(self) -> None:
        """Called once, when the server stops."""
        for job in self.active():
            job.status = "paused"
            await self._stop(job)

    # One download ------------------------------------------------------------------------

    def _run(self, job: Job) -> None:
        self._feed.downloading(job.id, job.url, job.done_bytes, job.total_bytes)
        job.task = asyncio.create_task(self._work(job), name=f"download {job.id}"[:80])

    async def _work(self, job: Job) -> None:
        try:
            added = await self._fetch(job)
            job.path = need_store(self._settings).path(added.stored.name, added.stored.version)
            if job.creation is None:
                job.end("completed" if added.new else "already_complete")
            else:
                await self._create(job, job.creation)
        except KoloError as error:
            job.end("failed", error)
        except Exception as error:  # a defect of ours, which must not leave the job running
            log.exception("an unforeseen error in a download")
            job.end("failed", internal(error))
        if job.status == "failed" and job.error is not None:
            self._feed.download_failed(job.id, job.error.message, job.error.code)
        elif not job.is_active:
            self._feed.downloaded(job.id, job.done_bytes)

    async def _fetch(self, job: Job) -> Added:
        store = need_store(self._settings)
        configured = self._settings.models.items()
        taken = {each for name, model in configured for each in (name, *model.aliases)}
        name = store.free_name(job.plan.name, job.url, taken)
        if version := store.version_of(job.plan, name):
            stored = store.get(name)
            if stored.current != version:
                stored = await asyncio.to_thread(store.use, name, version)
            size = stored.version.size_bytes
            job.progress = Progress(state="done", file="", done_bytes=size, total_bytes=size)
            return Added(stored=stored, new=False)
        transfer = Transfer(self._settings, allow_private=self._allow_private, have=store.held)

        def told(progress: Progress) -> None:
            further = progress.done_bytes > job.done_bytes
            job.progress = progress
            if further:
                self._feed.downloading(job.id, job.url, progress.done_bytes, job.total_bytes)

        with await transfer.fetch(job.plan, job.folder, told) as fetched:
            adopting = asyncio.create_task(
                asyncio.to_thread(store.adopt, fetched, job.plan, name=name)
            )
            try:
                return await asyncio.shield(adopting)
            except asyncio.CancelledError:
                await asyncio.wait({adopting})  # its thread cannot be cut off; the lock stays
                raise

    async def _create(self, job: Job, creation: Creation) -> None:
        assert job.path is not None
        job.status = "creating_engine"
        try:
            await creation.create(job.path)
        except KoloError as error:
            taken = error.http_status == CONFLICT
            job.end("engine_already_exists" if taken else "engine_creation_failed", error)
        else:
            job.end("engine_created")

    async def _stop(self, job: Job) -> None:
        task = job.task
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
            if job.task is task:  # else it was resumed meanwhile
                job.task = None

    def _forget_oldest(self) -> None:
        ended = [id for id, job in self._jobs.items() if not job.is_active]
        for id in ended[: max(len(ended) - MAX_ENDED, 0)]:
            del self._jobs[id]


def remote(text: str, settings: Settings) -> RemoteRef | None:
    """The source that ``text`` names; None if it names none. BadParameter for a malformed one."""
    meant = parse(text, ollama_host=settings.store.ollama_registry, may_be_path=False)
    return None if isinstance(meant, PathRef | NameRef) else meant
