"""The one thread that writes the history, and what becomes of a file that cannot be written.

Nothing here ever fails for those who hand over batches. A file that is gone is made anew; one
that is damaged, or of a later version, is set aside under a name with the time and a new one
begun; a disk that is full or may not be written is tried again with each batch, and what could
not be written is kept in memory until then, up to ``BACKLOG`` batches. Each is told once.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue

import psutil

from kolo.config import HistorySettings
from kolo.monitor.history.figures import Batch
from kolo.monitor.history.schema import NewerSchema
from kolo.monitor.history.store import Store
from kolo.snapshot import Level

BACKLOG = 120
"""Batches, of a minute each, that wait while the file cannot be written."""
TIDY_S = 600.0
CLOSE_S = 10.0
"""For the last batch to be written when the server stops."""
ENDED = "the server ended without unloading it"
_UNREADABLE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

Tell = Callable[[Level, str], None]
"""Told a line; called on the writer's thread."""


class Writer:
    """Writes batches in order. ``start`` it once, ``close`` it at the end."""

    def __init__(
        self,
        path: Path,
        settings: HistorySettings,
        tell: Tell,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._settings = settings
        self._tell = tell
        self._clock = clock
        self._queue: SimpleQueue[Batch | threading.Event | None] = SimpleQueue()
        self._backlog: deque[Batch] = deque(maxlen=BACKLOG)
        self._store: Store | None = None
        self._trouble = ""
        self._tidied_at = 0.0
        self._thread = threading.Thread(target=self._run, name="kolo history", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, batch: Batch) -> None:
        """Have it written soon. Returns at once and never fails."""
        self._queue.put(batch)

    def flush(self, timeout_s: float = CLOSE_S) -> bool:
        """Wait until all that was put has been tried; False if that takes too long."""
        done = threading.Event()
        self._queue.put(done)
        return done.wait(timeout_s)

    def close(self, timeout_s: float = CLOSE_S) -> bool:
        """Write what is left and end the thread; False if it hangs, and then it dies with the
        process."""
        self._queue.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    # On the thread -----------------------------------------------------------------------

    def _run(self) -> None:
        self._attempt()  # so that readers find a file before the first minute is over
        while (item := self._queue.get()) is not None:
            if isinstance(item, threading.Event):
                item.set()
            else:
                self._backlog.append(item)
                self._attempt()
        self._let_go()

    def _attempt(self) -> None:
        """Write the backlog; whatever stands in the way is dealt with or told."""
        try:
            try:
                self._write()
            except sqlite3.DatabaseError as error:
                self._let_go()
                if not _spoiled(error):
                    raise
                self._set_aside(error)
                self._write()
        except (sqlite3.Error, OSError) as error:
            self._let_go()
            self._in_trouble(str(error))
        else:
            self._out_of_trouble()

    def _write(self) -> None:
        if self._store is not None and self._store.replaced:
            self._let_go()
            self._tell(
                "warning",
                f"the history file {self._path} was removed or changed by somebody; "
                "it is opened anew",
            )
        store = self._store or self._open()
        if self._backlog:
            store.write(self._backlog)
            self._backlog.clear()
        now = self._clock()
        limit = self._settings.max_size_bytes
        if abs(now - self._tidied_at) >= TIDY_S:
            self._tidied_at = now
            store.thin(
                now,
                minutes_s=self._settings.keep_minutes_s,
                ten_minutes_s=self._settings.keep_ten_minutes_s,
            )
            store.fit(limit, now)

    def _open(self) -> Store:
        store = Store(self._path, server=_name_of(os.getpid()))
        self._store = store
        self._tidied_at = 0.0
        gone = [server for server in store.open_servers() if not _is_running(server)]
        store.end_runs(gone, ENDED)
        return store

    def _let_go(self) -> None:
        if self._store is not None:
            with suppress(sqlite3.Error):  # of a file that is given up anyway
                self._store.close()
            self._store = None

    def _set_aside(self, error: sqlite3.DatabaseError) -> None:
        """Rename the file, and what SQLite keeps beside it, so that a new one can be begun."""
        moment = datetime.fromtimestamp(self._clock(), UTC).strftime("%Y%m%dT%H%M%SZ")
        aside = self._path.with_name(f"{self._path.stem}.{moment}{self._path.suffix}")
        number = 1
        while aside.exists():
            number += 1
            aside = self._path.with_name(f"{self._path.stem}.{moment}.{number}{self._path.suffix}")
        for tail in ("-wal", "-shm", ""):
            with suppress(FileNotFoundError):
                os.rename(f"{self._path}{tail}", f"{aside}{tail}")
        self._tell(
            "warning",
            f"the history file could not be read ({error}); it is set aside as {aside} "
            "and a new one begun",
        )

    def _in_trouble(self, why: str) -> None:
        if why != self._trouble:
            self._trouble = why
            self._tell("warning", f"the history cannot be written to {self._path}: {why}")

    def _out_of_trouble(self) -> None:
        if self._trouble:
            self._trouble = ""
            self._tell("info", f"the history is written to {self._path} again")


def _spoiled(error: sqlite3.DatabaseError) -> bool:
    """Whether it is the file's content that is wrong, rather than the disk or its rights."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # raised by us: a failed check, or a later version
        return isinstance(error, NewerSchema) or type(error) is sqlite3.DatabaseError
    return code & 0xFF in _UNREADABLE


def _name_of(pid: int) -> str:
    """A name of a process that no later one has: its number and when it started."""
    return f"{pid}@{psutil.Process(pid).create_time():.2f}"


def _is_running(server: str) -> bool:
    try:
        return _name_of(int(server.partition("@")[0])) == server
    except (ValueError, psutil.Error):
        return False
