"""Bringing the files of a plan into a folder of partial downloads."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import Self

from msgspec import Struct

from kolo.config import Settings
from kolo.errors import DiskFull
from kolo.models.sources.download import Download, Stopped
from kolo.models.sources.partial import Partial, writing
from kolo.models.sources.plan import Plan, RemoteFile
from kolo.models.sources.progress import Progress, Rate, State
from kolo.models.sources.threads import in_thread
from kolo.models.sources.web import Web, web_for

TELL_S = 0.1
"""Between two words of progress."""

__all__ = ["Fetched", "FetchedFile", "Progress", "Transfer"]


class FetchedFile(Struct, frozen=True, kw_only=True):
    file: RemoteFile
    path: Path
    """``FOLDER/KEY.part``, whole and synced, to be renamed away; or, if ``held``, the store's."""
    sha256: str
    """In hex; of a held one the source's word, empty if it has none."""
    size_bytes: int
    held: bool = False
    """The store had it already, or an earlier file of the same plan is it."""


class Fetched:
    """Files that are whole, locked against other processes until this is closed.

    Use as a context: ``with await transfer.fetch(...) as fetched: store.adopt(fetched, plan)``.
    """

    def __init__(self) -> None:
        self.files: tuple[FetchedFile, ...] = ()
        self._locks = ExitStack()

    def add(self, file: RemoteFile, got: Path | Partial) -> None:
        if isinstance(got, Partial):
            self._locks.callback(got.close)
            made = FetchedFile(
                file=file, path=got.path, sha256=got.digest_hex(), size_bytes=got.n_bytes
            )
        else:
            made = FetchedFile(
                file=file,
                path=got,
                sha256=file.sha256 or "",
                size_bytes=got.stat().st_size,
                held=True,
            )
        self.files += (made,)

    def close(self) -> None:
        self._locks.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Transfer:
    """Fetches files of plans. ``have`` tells of a file that the store holds already; it is asked
    again after waiting for another process, which may have brought it, and runs in a thread."""

    def __init__(
        self,
        settings: Settings,
        *,
        allow_private: bool = True,
        have: Callable[[RemoteFile], Path | None] | None = None,
    ) -> None:
        self._settings = settings
        self._allow_private = allow_private
        self._have = have or (lambda file: None)

    async def fetch(
        self, plan: Plan, folder: Path, progress: Callable[[Progress], None] | None = None
    ) -> Fetched:
        """Download what is missing; ``progress`` is called on this event loop, ten times a
        second at most. Cancelling it keeps the partial files for the next time.

        Raises SourceUnreachable (tried several times; the partial is kept), SourceDenied,
        SourceChanged, ChecksumMismatch (the partial is removed), DiskFull (kept),
        ModelInvalid (not a GGUF; removed), PrivateSource, ConfigError for the folder.
        """
        tell = progress or (lambda _: None)
        job = _Job(
            plan=plan,
            folder=folder,
            have=self._have,
            web=lambda: web_for(plan.reference, self._settings, allow_private=self._allow_private),
            stall_s=float(self._settings.downloads.stall_timeout_s),
        )
        fetching = in_thread(job.run, job.stop, name=f"fetch {plan.name}", abandon=Fetched.close)
        running = asyncio.create_task(fetching)
        try:
            while not (await asyncio.wait({running}, timeout=TELL_S))[0]:
                for news in job.news():
                    tell(news)
            for news in job.news():
                tell(news)
            fetched = running.result()
            size = sum(file.size_bytes for file in fetched.files)
            last = plan.files[-1].name
            tell(Progress(state="done", file=last, done_bytes=size, total_bytes=size))
            return fetched
        except BaseException:
            running.cancel()
            await asyncio.wait({running})
            if not running.cancelled() and running.exception() is None:
                running.result().close()  # it came to its end all the same
            raise


class _Job:
    """One fetch, as its thread sees it."""

    def __init__(
        self,
        *,
        plan: Plan,
        folder: Path,
        have: Callable[[RemoteFile], Path | None],
        web: Callable[[], Web],
        stall_s: float,
    ) -> None:
        self._plan = plan
        self._folder = folder
        self._have = have
        self._make_web = web
        self._web: Web | None = None
        self._stall_s = stall_s
        self._rate = Rate()
        self._stopping = threading.Event()
        self._before = 0
        """Bytes of the files that are done."""
        self._now: tuple[State, str, int] | None = None
        """State, file and bytes; set by the thread, read by the event loop."""
        self._told: tuple[State, str, int] | None = None
        self._notes: deque[str] = deque()

    def news(self) -> Iterator[Progress]:
        """What to tell since the last call. Called from the event loop."""
        now = self._now
        if now is None or (now == self._told and now[0] != "downloading" and not self._notes):
            return
        if self._told is None or now[0] != self._told[0]:
            self._rate.forget()
        self._told = now
        state, file, done_bytes = now
        rate = self._rate.at(done_bytes) if state == "downloading" else 0.0
        while True:
            yield Progress(
                state=state,
                file=file,
                done_bytes=done_bytes,
                total_bytes=self._plan.size_bytes,
                bytes_per_s=rate,
                note=self._notes.popleft() if self._notes else "",
            )
            if not self._notes:
                return

    def run(self) -> Fetched:
        fetched = Fetched()
        try:
            self._check_room()
            self._web = self._make_web()
            with closing(self._web):
                for file in self._plan.files:
                    # The same content twice: its lock is ours already.
                    mine = {got.file.key: got.path for got in fetched.files}
                    fetched.add(file, mine.get(file.key) or self._download(file))
                    self._before += fetched.files[-1].size_bytes
            if self._stopping.is_set():
                raise Stopped
        except BaseException:
            fetched.close()
            raise
        return fetched

    def stop(self) -> None:
        """Called from the event loop."""
        self._stopping.set()
        if self._web is not None:
            self._web.cut()

    def _download(self, file: RemoteFile) -> Path | Partial:
        assert self._web is not None
        return Download(
            self._web,
            file,
            self._folder,
            have=self._have,
            tell=lambda state, n_bytes, note: self._report(file, state, n_bytes, note),
            stop=self._stopping,
            stall_s=self._stall_s,
        ).run()

    def _report(self, file: RemoteFile, state: State, n_bytes: int, note: str) -> None:
        before = self._now[2] if self._now is not None else 0
        self._now = (state, file.name, max(before, self._before + n_bytes))
        if note:
            self._notes.append(note)

    def _check_room(self) -> None:
        """DiskFull before a byte is fetched in vain, as far as sizes are known."""
        with writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self._folder).free
        missing = sum(
            max((file.size_bytes or 0) - Partial.size(self._folder, file), 0)
            for file in self._plan.files
            if self._have(file) is None
        )
        if missing > free:
            raise DiskFull(
                f"{self._plan.name} needs {missing:,} bytes more, and {self._folder} has room "
                f"for {free:,}",
                hint="Make room (kolo prune removes what no model needs), or choose another "
                "folder with store.dir.",
            )
