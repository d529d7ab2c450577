"""The file: one connection that writes, on the writer's thread alone.

Every figure is kept by minute, by ten minutes, by hour and by six hours, each row being merged
into all four when it comes. Thinning with age is then only forgetting, a graph over a month
reads as few rows as one over an hour, and what a kill leaves behind is right at every level.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kolo.monitor.history.figures import Batch, EventRow, Row, RunRow, Scope, columns_of
from kolo.monitor.history.packing import merged
from kolo.monitor.history.schema import migrate

STEPS_S = (60, 600, 3600, 21_600)
SCOPES: tuple[Scope, ...] = ("engine", "gpu", "host")
WAL_BYTES = 1 << 20
"""Room for the write-ahead log beside the file itself, within the limit."""
BUSY_S = 10.0
_MAGIC_BYTES = 16
"""With which every database begins (sqlite.org/fileformat.html, 1.2)."""
_SPARED_S = {60: 3600, 600: 86_400, 3600: 7 * 86_400, 21_600: 21_600}
"""Of each level, the last so many seconds are not given up for the size limit."""


class Store:
    """Raises sqlite3.DatabaseError from every method; OSError if the folder cannot be made."""

    def __init__(self, path: Path, *, server: str) -> None:
        """Open or create the file and bring it up to date. ``server`` names this process in
        engine runs."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._server = server
        self._names: dict[str, int] = {}
        self._db = sqlite3.connect(path, isolation_level=None, timeout=BUSY_S)
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise
        self._identity = _identity(path)

    def _prepare(self) -> None:
        self._db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before there is any table
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute(f"PRAGMA journal_size_limit = {WAL_BYTES // 2}")
        self._db.execute("PRAGMA wal_autocheckpoint = 64")
        (verdict,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(f"it is damaged: {verdict}")
        migrate(self._db)
        self._db.create_function("merged", 2, merged, deterministic=True)

    @property
    def replaced(self) -> bool:
        """Whether the path is no longer that of the open file, or that no longer a database."""
        return _identity(self._path) != self._identity

    def close(self) -> None:
        self._db.close()

    # Writing ---------------------------------------------------------------------------

    def write(self, batches: Iterable[Batch]) -> None:
        """All of them, or nothing."""
        with self._transaction():
            for batch in batches:
                for row in batch.rows:
                    self._merge(row)
                self._db.executemany(
                    "INSERT INTO events (at, kind, level, engine, text, reason) "
                    "VALUES (?, ?, ?, ?, ?, ?)",
                    (_event_values(event) for event in batch.events),
                )
                self._db.executemany(
                    "INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (_run_values(run, self._server) for run in batch.runs),
                )

    def _merge(self, row: Row) -> None:
        """Add to each level; what is there for the same time came from before a restart."""
        names = list(row.cells)
        merges = dict(columns_of(row.scope))
        updates = ", ".join(f"{name} = {merges[name]}" for name in names)
        statement = (
            f"INSERT INTO {row.scope}_figures (step_s, name, at, {', '.join(names)}) "
            f"VALUES (?, ?, ?{', ?' * len(names)}) "
            f"ON CONFLICT (step_s, name, at) DO UPDATE SET {updates}"
        )
        id = self._name(row.name)
        for step_s in STEPS_S:
            at = row.at // step_s * step_s
            self._db.execute(statement, (step_s, id, at, *row.cells.values()))

    def _name(self, name: str) -> int:
        if name not in self._names:
            self._db.execute("INSERT OR IGNORE INTO names (name) VALUES (?)", (name,))
            found = self._db.execute("SELECT id FROM names WHERE name = ?", (name,))
            (self._names[name],) = found.fetchone()
        return self._names[name]

    def end_runs(self, servers: Iterable[str], reason: str) -> None:
        """Runs that servers which are no more left open end when their server last wrote."""
        for server in servers:
            with self._transaction():
                self._db.execute(
                    "UPDATE runs SET reason = ?, ended_at = max(loaded_at, coalesce("
                    "(SELECT max(at) + 60 FROM host_figures WHERE step_s = 60), loaded_at)) "
                    "WHERE ended_at IS NULL AND server = ?",
                    (reason, server),
                )

    def open_servers(self) -> list[str]:
        """The servers, but this one, that have runs without an end."""
        found = self._db.execute(
            "SELECT DISTINCT server FROM runs WHERE ended_at IS NULL AND server <> ?",
            (self._server,),
        )
        return [server for (server,) in found]

    # Forgetting ------------------------------------------------------------------------

    def thin(self, now: float, *, minutes_s: float, ten_minutes_s: float) -> None:
        """Forget minutes, and tens of minutes, that are older."""
        with self._transaction():
            for step_s, keep_s in ((60, minutes_s), (600, ten_minutes_s)):
                self._forget(step_s, now - keep_s)

    def fit(self, max_bytes: int, now: float) -> None:
        """Bring the file and its log under ``max_bytes``: the oldest minutes go first, then the
        oldest tens of minutes, then hours, and with the last of all events and runs too."""
        limit = max_bytes - WAL_BYTES
        if self.used_bytes() > limit:
            for step_s in STEPS_S:
                self._forget_oldest(step_s, now - _SPARED_S[step_s], limit)
            while self.used_bytes() > limit and self._forget_oldest_events():
                pass
        self._shrink()

    def used_bytes(self) -> int:
        """Of the file, without pages that are free and can be given back."""
        (pages,) = self._db.execute("PRAGMA page_count").fetchone()
        (free,) = self._db.execute("PRAGMA freelist_count").fetchone()
        (size,) = self._db.execute("PRAGMA page_size").fetchone()
        return int((pages - free) * size)

    def _forget_oldest(self, step_s: int, spared: float, limit: int) -> None:
        """Tenth by tenth of what is older than ``spared``, as long as the file is too large."""
        while self.used_bytes() > limit:
            oldest = self._oldest(step_s)
            if oldest is None or oldest >= spared:
                return
            until = oldest + max((spared - oldest) / 10, step_s)
            with self._transaction():
                self._forget(step_s, until)
                if step_s == STEPS_S[-1]:
                    self._db.execute("DELETE FROM events WHERE at < ?", (until,))
                    self._db.execute("DELETE FROM runs WHERE ended_at < ?", (until,))

    def _forget(self, step_s: int, before: float) -> None:
        for scope in SCOPES:
            self._db.execute(
                f"DELETE FROM {scope}_figures WHERE step_s = ? AND at < ?", (step_s, before)
            )

    def _oldest(self, step_s: int) -> float | None:
        found = [
            self._db.execute(
                f"SELECT min(at) FROM {scope}_figures WHERE step_s = ?", (step_s,)
            ).fetchone()[0]
            for scope in SCOPES
        ]
        return min((at for at in found if at is not None), default=None)

    def _forget_oldest_events(self) -> bool:
        """A tenth of the events, and of the runs that ended; False when there are none left."""
        before = self._db.total_changes
        with self._transaction():
            for table, key, ended in (
                ("events", "at", ""),
                ("runs", "loaded_at", " WHERE ended_at IS NOT NULL"),
            ):
                self._db.execute(
                    f"DELETE FROM {table} WHERE {key} <= (SELECT {key} FROM {table}{ended} "
                    f"ORDER BY {key} LIMIT 1 OFFSET (SELECT count(*) / 10 FROM {table}{ended}))"
                    + ended.replace("WHERE", "AND")
                )
        return self._db.total_changes > before

    def _shrink(self) -> None:
        """Give free pages back to the file system, and empty the log."""
        # It frees a page per step and has no columns, so that execute would free one and stop.
        self._db.executescript("PRAGMA incremental_vacuum")
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._names.clear()  # some may be of this transaction, and are not there any more
            if self._db.in_transaction:  # SQLite rolls back by itself after some errors
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def _identity(path: Path) -> tuple[int, int, bytes] | None:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            return status.st_dev, status.st_ino, file.read(_MAGIC_BYTES)
    except OSError:
        return None


def _event_values(event: EventRow) -> tuple[object, ...]:
    return event.at, event.kind, event.level, event.engine, event.text, event.reason


def _run_values(run: RunRow, server: str) -> tuple[object, ...]:
    return (
        run.engine, run.loaded_at, run.path, run.load_ms, server,
        run.ended_at, run.reason,
        run.done, run.failed, run.prompt_tokens, run.output_tokens,
    )  # fmt: skip
