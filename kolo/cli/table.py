"""Engines as a person or a program reads them, and the bar of a load."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgspec

from kolo.chat.stats import short_count
from kolo.cli.grid import Column, print_grid, print_line
from kolo.cli.output import Status, look, printable

if TYPE_CHECKING:
    from kolo.client.engines import EngineView

_COLUMNS = [
    Column("ID", flexible=True),
    Column("STATE"),
    Column("SLOTS", number=True),
    Column("CTX", number=True),
    Column("MEMORY", number=True),
    Column("PID", number=True),
    Column("IDLE"),
]
_UNITS_S = ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s"))
_STATES = ("loaded", "loading", "unloading", "failed", "unloaded")


def print_json(value: Any) -> None:
    """One JSON document to stdout, indented; in UTF-8 whatever the terminal has (RFC 8259)."""
    write_json(msgspec.json.format(msgspec.json.encode(value), indent=2))


def print_json_line(value: Any) -> None:
    """One line of JSON to stdout."""
    write_json(msgspec.json.encode(value))


def write_json(document: bytes) -> None:
    """A document that is encoded already, and a line break."""
    sys.stdout.flush()
    sys.stdout.buffer.write(document + b"\n")
    sys.stdout.buffer.flush()


def print_engines(engines: list[EngineView]) -> None:
    """A table to stdout; why an engine failed, below it."""
    ordered = sorted(engines, key=lambda one: (_STATES.index(one.state), one.engine_id))
    faint = [engine.state == "unloaded" for engine in ordered]
    print_grid(_COLUMNS, [_cells(engine) for engine in ordered], faint=faint)
    for engine in engines:
        if engine.error:
            print_line(f"{engine.engine_id}: {engine.error}")


def engine_line(engine: EngineView) -> str:
    """``qwen is loaded · 4 slots of 8.2k tokens · 4.1 GB``."""
    parts = [f"{engine.engine_id} is {engine.state}"]
    if engine.ctx is not None:
        parts.append(f"{engine.parallel} slots of {short_count(engine.ctx)} tokens")
    if memory := _memory(engine):
        parts.append(memory)
    return " · ".join(parts)


class LoadBar:
    """The bar of a load on stderr; where no bar can be drawn, a line. A context manager."""

    def __init__(self, name: str) -> None:
        self._progress: Any = None
        self._task: Any = None
        self._name = printable(name)
        self._status = Status()
        if look(sys.stderr).redraw:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

            self._progress = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TaskProgressColumn(),
                console=Console(stderr=True, no_color=not look(sys.stderr).colour),
                transient=True,
            )
            self._task = self._progress.add_task(f"loading {self._name}", total=None)

    def show(self, stage: str, fraction: float) -> None:
        """How far the stage of the load is, 0 to 1."""
        text = f"loading {self._name}: {stage}" if stage else f"loading {self._name}"
        if self._progress is None:
            self._status.show(text, fraction)
        else:
            self._progress.update(self._task, description=text, completed=fraction, total=1.0)

    def __enter__(self) -> LoadBar:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._progress is not None:
            self._progress.stop()


def _cells(engine: EngineView) -> list[str]:
    return [
        engine.engine_id,
        f"loading {engine.progress:.0%}" if engine.state == "loading" else engine.state,
        _slots(engine),
        "" if engine.ctx is None else str(engine.ctx),
        _memory(engine),
        "" if engine.pid is None else str(engine.pid),
        _idle(engine),
    ]


def _slots(engine: EngineView) -> str:
    """Requests in slots of slots, and those that wait for one."""
    if engine.parallel is None:
        return ""
    used = min(engine.in_flight, engine.parallel)
    waiting = engine.in_flight - used
    return f"{used}/{engine.parallel}" + (f" +{waiting}" if waiting else "")


def _memory(engine: EngineView) -> str:
    parts = [size_text(engine.memory_bytes)] if engine.memory_bytes else []
    if engine.device_bytes:
        parts.append(f"{size_text(engine.device_bytes)} GPU")
    return " + ".join(parts)


def _idle(engine: EngineView) -> str:
    if engine.state != "loaded":
        return ""
    idle = "" if engine.idle_s is None else time_text(engine.idle_s)
    limit = "pinned" if engine.pinned else time_text(engine.ttl_s) if engine.ttl_s else "never"
    return f"{idle} / {limit}" if idle else limit


def size_text(n_bytes: int) -> str:
    """``812 kB``, ``41 MB``, ``4.1 GB``."""
    for limit, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if n_bytes >= limit:
            amount = n_bytes / limit
            return f"{amount:.1f} {unit}" if amount < 10 else f"{amount:.0f} {unit}"
    return f"{n_bytes} B"


def time_text(seconds: float) -> str:
    """``12s``, ``10m``, ``1h30m``, ``2d``."""
    whole = round(seconds)
    for size, unit, part, smaller in _UNITS_S:
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size}{unit}" + (f"{rest}{smaller}" if rest else "")
    return f"{whole}s"
