"""Questions to the history, each on a read-only connection of its own.

The functions block for milliseconds and are to be called on a thread. What they read is bounded by
what they answer: no more than ``ROWS_PER_POINT`` rows for each point of a graph.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct

from kolo.errors import BadParameter, KoloError, ModelNotFound
from kolo.monitor.histogram import Histogram
from kolo.monitor.history.figures import EVERY, FIGURES, Figure, Scope
from kolo.monitor.history.packing import unpack
from kolo.monitor.history.store import BUSY_S, STEPS_S
from kolo.snapshot import Summary

MAX_POINTS = 2000
DEFAULT_POINTS = 360
DEFAULT_STEPS_S = (*STEPS_S, 86_400)
"""A point is one row of the store, or few."""
ROWS_PER_POINT = 10
"""A step of nearly ten minutes is made of minutes."""
MAX_STEP_S = DEFAULT_STEPS_S[-1]
MAX_ENTRIES = 1000
_WHOSE = {"engine": "an engine", "gpu": "a GPU", "host": "the host"}


class HistoryUnavailable(KoloError):
    """There is no history now: it cannot be read."""

    http_status = 503
    code = "history_unavailable"


class NoHistory(KoloError):
    """None is kept."""

    http_status = 404
    code = "no_history"
    type = "invalid_request_error"


class Point(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What happened in one step. Fields that do not belong to the kind of metric are absent, and
    so are all but ``at`` where nothing is known: the server was not up, or nothing was measured."""

    at: int
    """When the step began: unix time in seconds."""
    n: int | None = None
    """Samples of a gauge, or values of a distribution."""
    total: float | None = None
    """Of a counter."""
    per_s: float | None = None
    """That over the time in which the server was up."""
    mean: float | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None


class Series(Struct, frozen=True, kw_only=True):
    metric: str
    kind: str
    """``counter``, ``gauge`` or ``distribution``."""
    unit: str
    points: list[Point]
    """One for each step, oldest first."""


class HistoryRange(Struct, frozen=True, kw_only=True):
    """The answer to ``read_range``."""

    from_at: int
    to_at: int
    step_s: int
    """As asked for, or longer where figures that fine are no longer kept."""
    series: list[Series]


class PastEvent(Struct, frozen=True, kw_only=True):
    at: float
    kind: str
    level: str
    engine: str | None
    text: str
    reason: str


class PastRun(Struct, frozen=True, kw_only=True):
    """An engine from load to unload."""

    engine: str
    path: str
    loaded_at: float
    load_ms: float
    ended_at: float | None
    """Null while it is loaded."""
    reason: str
    done: int
    failed: int
    prompt_tokens: int
    output_tokens: int


def find_figures(names: list[str], *, engine: str | None, gpu: str | None) -> list[Figure]:
    """The metrics of these names, if they are told of that engine or GPU, or else of the host and
    of all engines together. Raises BadParameter."""
    if engine is not None and gpu is not None:
        raise BadParameter("give engine or gpu, not both", param="gpu")
    scopes = (
        ("gpu",) if gpu is not None else ("engine",) if engine is not None else ("engine", "host")
    )
    known = {figure.name: figure for figure in FIGURES}
    for name in names:
        if name not in known:
            hint = f"There are: {', '.join(known)}."
            raise BadParameter(f"there is no metric {name!r}", hint=hint, param="metric")
        scope = known[name].scope
        if scope not in scopes:
            given = "engine" if engine is not None else "gpu"
            hint = "Name it, such as gpu=nvidia:0." if scope == "gpu" else f"Leave {given} out."
            raise BadParameter(f"{name} is of {_WHOSE[scope]}", hint=hint, param="metric")
    return [known[name] for name in names]


def choose_step(from_at: float, to_at: float, step_s: int | None) -> int:
    """The step to answer with. Raises BadParameter for one that cannot be, or a range that is
    empty."""
    span_s = to_at - from_at
    if span_s <= 0:
        raise BadParameter("the range is empty: to must be after from", param="to")
    if step_s is None:
        fine = (step for step in DEFAULT_STEPS_S if span_s / step <= DEFAULT_POINTS)
        step_s = next(fine, DEFAULT_STEPS_S[-1])
    level_s = max((level for level in STEPS_S if level <= step_s), default=STEPS_S[0])
    if step_s % level_s or not STEPS_S[0] <= step_s <= MAX_STEP_S:
        raise BadParameter(
            f"a step of {step_s} s cannot be: it is a multiple of 60 s, from ten minutes on of "
            "600, from an hour on of 3600, from six hours on of 21600, and a day at most",
            param="step",
        )
    if span_s / step_s > MAX_POINTS:
        raise BadParameter(
            f"{span_s / step_s:.0f} points are too many: {MAX_POINTS} is the most",
            hint="Ask for a longer step, or leave it out.",
            param="step",
        )
    return step_s


def read_range(
    path: Path,
    figures: list[Figure],
    *,
    name: str | None,
    from_at: float,
    to_at: float,
    step_s: int,
) -> HistoryRange:
    """``figures`` of engine or GPU ``name``, or of all engines together, in a step that
    ``choose_step`` allows. Raises ModelNotFound for a name of which nothing is known, and
    HistoryUnavailable."""
    with _reading(path) as db:
        if name is not None:
            _check_name(db, name, figures[0].scope)
        level_s = _level(db, from_at, step_s)
        step_s = max(step_s, level_s)
        start = int(from_at) // step_s * step_s
        steps = range(start, int(-(-to_at // 1)), step_s)
        span = (level_s, start, steps[-1] + step_s)
        covered = _covered(db, step_s, span)
        series = [
            Series(
                metric=figure.name,
                kind=figure.kind,
                unit=figure.unit,
                points=_points(figure, steps, _rows(db, figure, name, step_s, span), covered),
            )
            for figure in figures
        ]
        return HistoryRange(from_at=start, to_at=span[2], step_s=step_s, series=series)


def read_events(
    path: Path, *, engine: str | None, from_at: float, to_at: float, limit: int
) -> list[PastEvent]:
    """The latest ``limit`` of them, oldest first. Raises HistoryUnavailable."""
    where = "AND engine = ? " if engine is not None else ""
    values = [from_at, to_at, *([engine] if engine is not None else []), limit]
    with _reading(path) as db:
        found = db.execute(
            "SELECT at, kind, level, engine, text, reason FROM events "
            f"WHERE at >= ? AND at < ? {where}ORDER BY at DESC, id DESC LIMIT ?",
            values,
        ).fetchall()
    names = PastEvent.__struct_fields__
    return [PastEvent(**dict(zip(names, row, strict=True))) for row in reversed(found)]


def read_runs(
    path: Path, *, engine: str | None, from_at: float, to_at: float, limit: int
) -> list[PastRun]:
    """The latest ``limit`` of those that ran in that time, oldest first. Raises as above."""
    where = "AND engine = ? " if engine is not None else ""
    values = [to_at, from_at, *([engine] if engine is not None else []), limit]
    names = PastRun.__struct_fields__
    with _reading(path) as db:
        found = db.execute(
            f"SELECT {', '.join(names)} FROM runs "
            f"WHERE loaded_at < ? AND coalesce(ended_at, 9e15) >= ? {where}"
            "ORDER BY loaded_at DESC LIMIT ?",
            values,
        ).fetchall()
    return [PastRun(**dict(zip(names, row, strict=True))) for row in reversed(found)]


# Inside ----------------------------------------------------------------------------------

_decode_summary = msgspec.msgpack.Decoder(Summary).decode
Values = Sequence[Any]
"""Of the columns of a figure, merged."""
_Span = tuple[int, int, int]
"""Level, and the unix times from and to which its rows are read."""


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        db = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=BUSY_S)
        try:
            db.execute("PRAGMA query_only = 1")
            db.create_aggregate("summarized", 1, _Summarized)  # type: ignore[arg-type]
            yield db
        finally:
            db.close()
    except sqlite3.Error as error:
        raise HistoryUnavailable(
            f"the history cannot be read: {error}",
            hint="It is begun anew within a minute if its file is gone or damaged.",
            retry_after_s=60.0,
        ) from error


class _Summarized:
    """The summary of all values of some packed histograms, encoded, as an SQL aggregate."""

    def __init__(self) -> None:
        self._sum: Histogram | None = None

    def step(self, packed: bytes | None) -> None:
        if packed is None:
            return
        if self._sum is None:
            self._sum = unpack(packed)
        else:
            self._sum.merge(unpack(packed))

    def finalize(self) -> bytes | None:
        return msgspec.msgpack.encode(self._sum.summary()) if self._sum is not None else None


def _check_name(db: sqlite3.Connection, name: str, scope: Scope) -> None:
    if db.execute("SELECT 1 FROM names WHERE name = ?", (name,)).fetchone() is None:
        raise ModelNotFound(
            f"the history knows no {scope} {name!r}",
            hint="What is new appears in it after its first minute.",
            param=scope,
        )


def _level(db: sqlite3.Connection, from_at: float, step_s: int) -> int:
    """The coarsest level no coarser than ``step_s``, or one that is, if only that reaches back to
    ``from_at``. The host has a row for each minute in which the server was up."""
    oldest: dict[int, int | None] = {}
    for level_s in STEPS_S:
        found = db.execute("SELECT min(at) FROM host_figures WHERE step_s = ?", (level_s,))
        (oldest[level_s],) = found.fetchone()
    chosen = max(level for level in STEPS_S if level <= step_s)
    for coarser in STEPS_S[STEPS_S.index(chosen) + 1 :]:
        reaches, further = oldest[chosen], oldest[coarser]
        if further is None or (reaches is not None and from_at >= reaches):
            break
        if reaches is None or further < reaches // coarser * coarser:
            chosen = coarser
    return chosen


def _covered(db: sqlite3.Connection, step_s: int, span: _Span) -> dict[int, float]:
    """Seconds for which the server was up, by step. Where it was, what has no row is 0."""
    found = db.execute(
        "SELECT at / ? * ?, sum(covered_s) FROM host_figures "
        "WHERE step_s = ? AND at >= ? AND at < ? GROUP BY 1",
        (step_s, step_s, *span),
    )
    return dict(found.fetchall())


def _rows(
    db: sqlite3.Connection, figure: Figure, name: str | None, step_s: int, span: _Span
) -> dict[int, Values]:
    """What the columns of ``figure`` come to in each step."""
    query, values = range_query(figure, name, step_s, span)
    return {at: values for at, *values in db.execute(query, values).fetchall()}


def range_query(
    figure: Figure, name: str | None, step_s: int, span: _Span
) -> tuple[str, tuple[object, ...]]:
    """The statement, and its values, that reads a figure over a range."""
    if figure.kind == "distribution":
        sums = f"summarized({figure.name})"
    elif figure.kind == "counter":
        sums = f"sum({figure.name})"
    else:
        count, total, highest = figure.columns
        sums = f"sum({count}), sum({total}), max({highest})"
    query = (
        f"SELECT at / ? * ?, {sums} FROM {figure.scope}_figures "
        "WHERE step_s = ? AND name = (SELECT id FROM names WHERE name = ?) "
        "AND at >= ? AND at < ? GROUP BY 1"
    )
    level_s, start, end = span
    return query, (step_s, step_s, level_s, EVERY if name is None else name, start, end)


def _points(
    figure: Figure, steps: range, rows: dict[int, Values], covered: dict[int, float]
) -> list[Point]:
    return [_point(figure, at, rows.get(at), covered.get(at, 0.0)) for at in steps]


def _point(figure: Figure, at: int, row: Values | None, covered_s: float) -> Point:
    if figure.kind == "counter":
        if row is None and not covered_s:
            return Point(at=at)
        total = float(row[0]) if row is not None else 0.0
        return Point(at=at, total=total, per_s=_ratio(total, covered_s))
    if row is None or not row[0]:
        return Point(at=at)
    if figure.kind == "gauge":
        n, total, highest = row
        return Point(at=at, n=n, mean=_ratio(total, n), max=highest)
    summary = _decode_summary(row[0])
    return Point(
        at=at, n=summary.n, mean=summary.mean,
        p50=summary.p50, p95=summary.p95, p99=summary.p99, max=summary.max,
    )  # fmt: skip


def _ratio(value: float, by: float) -> float | None:
    return round(value / by, 4) if by else None
