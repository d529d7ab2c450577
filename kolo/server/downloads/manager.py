"""All downloads of a server: one task each, shared by whoever asks for the same model.

What is fetched ends up in the store, as with ``kolo pull``. A restart of the server loses none:
what was under way goes on by itself, what was paused is paused still (``kept``).
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from msgspec.structs import replace

from kolo.config import Settings
from kolo.errors import BadParameter, Busy, KoloError, ModelNotFound, SourceUnreachable, internal
from kolo.models.reference import RemoteRef
from kolo.models.sources.partial import Partial
from kolo.models.sources.plan import Plan, plan
from kolo.models.sources.progress import Progress
from kolo.models.sources.transfer import Transfer
from kolo.models.store import Added, need_store, store_of
from kolo.monitor.feed import Feed
from kolo.server.downloads.job import Create, Creation, Job
from kolo.server.downloads.kept import KeptDownloads

ASK_S = 60.0
"""For a source to say what it has."""
MAX_ACTIVE = 16
CONFLICT = 409
MAX_ENDED = 100
"""Ended downloads that can still be asked about."""
RENEW_TRIES = 6
RENEW_PAUSE_S = 2.0
"""After the first try to ask a source again; doubles with each further one."""

log = logging.getLogger(__name__)


class DownloadNotFound(ModelNotFound):
    code = "download_not_found"


class DownloadOver(BadParameter):
    """It has ended, or is not in a state that this can be done in."""

    code = "download_not_active"


class Downloads:
    """Lives on one event loop. ``close`` ends all that runs; partial files stay.

    ``file`` keeps the list of what has not ended for the next start; ``create`` makes the engines
    that are to come of downloads.
    """

    def __init__(
        self, settings: Settings, feed: Feed, create: Create, *, file: Path | None = None
    ) -> None:
        self._settings = settings
        self._feed = feed
        self._make_engine = create
        self._allow_private = settings.downloads.allow_private
        self._kept = KeptDownloads(file, settings)
        self._jobs: dict[str, Job] = {}
        if (store := store_of(settings)) is not None:
            self._jobs = {job.id: job for job in self._kept.read(store.partial)}

    def go_on(self) -> None:
        """With what was under way when the last server ended. Called once, on the event loop."""
        for job in self._jobs.values():
            if job.status == "downloading" and job.task is None:
                self._run(job)

    def follow(self, settings: Settings) -> None:
        """Fetch what is asked for from now on by other settings."""
        self._settings = settings
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

    async def start(self, id: str, what: Plan, creation: Creation | None = None) -> Job:
        """Begin, or go on where an earlier try ended; what is under way is left as it is."""
        job = self._jobs.get(id)
        if job is not None and job.status in ("downloading", "creating_engine"):
            return job
        if sum(one.is_active for one in self._jobs.values() if one is not job) >= MAX_ACTIVE:
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
        await self._keep()
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
        """Stop for now. DownloadOver if it is not downloading, or nothing is left to fetch."""
        job = self.find(id)
        _check_not_adopting(job)
        if job.status != "downloading":
            raise DownloadOver(f"the download {id!r} is {job.status}", param="model_id")
        job.status = "paused"
        await self._stop(job)
        await self._keep()
        return job

    async def resume(self, id: str) -> Job:
        """Go on. DownloadOver if it is not paused."""
        job = self.find(id)
        if job.status != "paused":
            raise DownloadOver(f"the download {id!r} is {job.status}", param="model_id")
        job.status, job.error = "downloading", None
        self._run(job)
        await self._keep()
        return job

    async def cancel(self, id: str) -> Job:
        """Give it up, and remove what came of it, unless others fetch the same. DownloadOver if
        it has ended, its model is being put into the store, or its engine is being made."""
        job = self.find(id)
        _check_not_adopting(job)
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
        await self._keep()
        return job

    async def close(self) -> None:
        """Called once, when the server stops. What it ends is kept as it was."""
        await asyncio.gather(*(self._stop(job) for job in self.active()))

    # One download ------------------------------------------------------------------------

    def _run(self, job: Job) -> None:
        self._feed.downloading(job.id, job.url, job.done_bytes, job.total_bytes)
        job.task = asyncio.create_task(self._work(job), name=f"download {job.id}"[:80])

    async def _work(self, job: Job) -> None:
        try:
            if job.stale and not await self._renew(job):
                return
            added = await self._fetch(job)
            job.path = need_store(self._settings).path(added.stored.name, added.stored.version)
            if job.creation is None:
                job.end("completed" if added.new else "already_complete")
            else:
                await self._create(job, job.creation, added.stored.name)
        except KoloError as error:
            job.end("failed", error)
        except Exception as error:  # a defect of ours, which must not leave the job running
            log.exception("an unforeseen error in a download")
            job.end("failed", internal(error))
        if job.status == "failed" and job.error is not None:
            self._feed.download_failed(job.id, job.error.message, job.error.code)
        elif not job.is_active:
            self._feed.downloaded(job.id, job.done_bytes)
        await self._keep()

    async def _renew(self, job: Job) -> bool:
        """Ask the source once more what there is. Pauses the download, and returns False, if it
        cannot be reached."""
        for n in range(1, RENEW_TRIES + 1):
            try:
                job.plan, job.stale = await self.ask(job.plan.reference), False
                return True
            except SourceUnreachable as error:
                problem = error
            if n == RENEW_TRIES:
                break
            job.progress = Progress(
                state="retrying",
                file=job.plan.files[0].name,
                done_bytes=job.part_bytes,
                total_bytes=job.plan.size_bytes,
                note=problem.message,
            )
            await asyncio.sleep(RENEW_PAUSE_S * 2 ** (n - 1))
        job.status, job.error = "paused", problem
        await self._keep()
        return False

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
            before = job.done_bytes
            further = progress.done_bytes > before
            if progress.state == "checking" and not further:
                progress = replace(progress, done_bytes=before)  # it is read again, not lost
            job.progress = progress
            if further:
                self._feed.downloading(job.id, job.url, progress.done_bytes, job.total_bytes)

        with await transfer.fetch(job.plan, job.folder, told) as fetched:
            job.adopting = True
            adopting = asyncio.create_task(
                asyncio.to_thread(store.adopt, fetched, job.plan, name=name)
            )
            try:
                return await asyncio.shield(adopting)
            except asyncio.CancelledError:
                await asyncio.wait({adopting})  # its thread cannot be cut off; the lock stays
                raise
            finally:
                job.adopting = False

    async def _create(self, job: Job, creation: Creation, name: str) -> None:
        job.status = "creating_engine"
        try:
            await self._make_engine(creation, name)
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

    async def _keep(self) -> None:
        await self._kept.write(self.active())

    def _forget_oldest(self) -> None:
        ended = [id for id, job in self._jobs.items() if not job.is_active]
        for id in ended[: max(len(ended) - MAX_ENDED, 0)]:
            del self._jobs[id]


def _check_not_adopting(job: Job) -> None:
    """The thread that does it cannot be cut off, and what it does is not undone."""
    if job.adopting:
        raise DownloadOver(
            f"all of the download {job.id!r} is there, and it is being put into the store",
            hint="kolo rm removes it from the store.",
            param="model_id",
        )
