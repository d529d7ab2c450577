"""What ``kolo pull`` shows: the plan before the first byte, and how far it is."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from kolo.bench.known_outlooks import quote_name
from kolo.cli.output import Look, look, printable, talk, to_stderr
from kolo.cli.table import print_json, print_json_line, size_text, time_text
from kolo.manager.machine import available
from kolo.models.store import Store
from kolo.paths import find_paths

if TYPE_CHECKING:
    from kolo.models.sources.plan import Plan
    from kolo.models.sources.progress import Progress

Form = Literal["words", "json", "jsonl"]
"""What goes to stdout: nothing, one document at the end, or a line for each event."""
LINE_S = 30.0
LINE_SHARE = 0.1
"""Through a pipe there is a line each tenth, and after so many seconds without one."""
ROOM_SHARE = 1.1
"""Memory that a model takes at the least, of its file: the weights, and a small context."""


class Preview(Struct, frozen=True, kw_only=True):
    """What a fetch would mean for this machine. Sizes in bytes."""

    name: str
    there: str
    """Id of the version in the store that holds all of it already; else empty."""
    partial_bytes: int
    """What an earlier try left."""
    held_bytes: int
    """What the store has already, of another version or another model."""
    disk_free_bytes: int
    memory_free_bytes: int
    fits_disk: bool | None
    """None when the source does not say how large it is."""
    fits_memory: bool | None


def preview(plan: Plan, store: Store, name: str) -> Preview:
    """Hold the plan against what there is."""
    size = plan.size_bytes
    held = sum(file.size_bytes or 0 for file in plan.files if store.held(file))
    partial = sum(_partial_bytes(store.partial / f"{file.key}.part") for file in plan.files)
    disk_free = shutil.disk_usage(_existing(store.folder)).free
    memory_free = available().available_bytes
    return Preview(
        name=name,
        there=store.version_of(plan, name),
        partial_bytes=partial,
        held_bytes=held,
        disk_free_bytes=disk_free,
        memory_free_bytes=memory_free,
        fits_disk=None if size is None else size - partial - held <= disk_free,
        fits_memory=None if size is None else size * ROOM_SHARE <= memory_free,
    )


def in_words(plan: Plan, about: Preview) -> str:
    """The plan as a few lines."""
    lines = [str(plan.reference)]
    width = max(len(file.name) for file in plan.files)
    for file in plan.files if len(plan.files) <= 6 else plan.files[:5]:
        size = "of unknown size" if file.size_bytes is None else size_text(file.size_bytes)
        lines.append(f"  {file.name:{width}}  {size:>9}")
    if len(plan.files) > 6:
        lines.append(f"  and {len(plan.files) - 5} more")
    total = "" if plan.size_bytes is None else size_text(plan.size_bytes)
    here = about.partial_bytes + about.held_bytes
    so_far = f", {size_text(here)} of it here" if here else ""
    lines.append(f"  {'name':8} {about.name}")
    if total or plan.quant:
        lines.append(f"  {'size':8} {', '.join(x for x in (total, plan.quant) if x)}{so_far}")
    lines.append(f"  {'disk':8} {size_text(about.disk_free_bytes)} free{_but(about.fits_disk)}")
    memory = size_text(about.memory_free_bytes)
    lines.append(f"  {'memory':8} {memory} free{_but(about.fits_memory, 'fits')}")
    if speed := quote_name(str(plan.reference), plan.quant, find_paths(os.environ).state):
        lines.append(f"  {'speed':8} {speed}")
    if plan.chosen:
        lines.append(f"  {plan.chosen}")
    return "\n".join(lines)


def event(kind: str, form: Form, **fields: Any) -> None:
    """One event on stdout: a line of JSON, or the one document there is."""
    show = print_json_line if form == "jsonl" else print_json
    show({"event": kind, **fields})


class PullBar:
    """How far a fetch is: a bar on a terminal, a line now and then through a pipe, JSON lines if
    asked for, with --json on stderr and with --jsonl on stdout. It never goes back. A context
    manager."""

    def __init__(self, name: str, *, form: Form) -> None:
        self._how: Look = look(sys.stderr)
        self._form = form
        self._name = printable(name)
        self._bar: Any = None
        self._task: Any = None
        self._most = 0
        self._line_at_s = self._began_s = time.monotonic()
        self._line_bytes = 0

    def __enter__(self) -> PullBar:
        if self._how.redraw and self._form == "words":
            self._bar = _bar(self._how)
            self._task = self._bar.add_task("connecting", total=None, amount="", rate="", left="")
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, done_bytes: int, total_bytes: int) -> None:
        """How far a copy is."""
        self._show("copying", done_bytes, total_bytes, 0.0)

    def progress(self, told: Progress) -> None:
        """How far a download is."""
        if told.note:
            self._remark(told.note)
        if told.state == "waiting" and self._most == 0:
            self._show("waiting for another kolo pull", 0, told.total_bytes, 0.0)
        else:
            self._show(told.state, told.done_bytes, told.total_bytes, told.bytes_per_s)

    def _show(self, state: str, done_bytes: int, total_bytes: int | None, rate: float) -> None:
        self._most = done_bytes = max(done_bytes, self._most)
        if self._form != "words":
            if self._due(done_bytes, total_bytes, every_s=1.0, share=0.01):
                self._line(
                    "progress",
                    state=state,
                    done_bytes=done_bytes,
                    total_bytes=total_bytes,
                    bytes_per_s=round(rate),
                )
        elif self._bar is not None:
            left = _left(done_bytes, total_bytes, rate)
            self._bar.update(
                self._task,
                description=state,
                completed=done_bytes,
                total=total_bytes,
                amount=_amount(done_bytes, total_bytes),
                rate=f"{size_text(round(rate))}/s" if rate else "",
                left=left,
            )
        elif self._due(done_bytes, total_bytes, every_s=LINE_S, share=LINE_SHARE):
            share = f" {done_bytes / total_bytes:.0%}" if total_bytes else ""
            rated = f" {size_text(round(rate))}/s" if rate else ""
            talk(f"{state}{share} {_amount(done_bytes, total_bytes)}{rated}")

    def _line(self, kind: str, **fields: Any) -> None:
        """A line of JSON among the others; beside them where stdout is one document."""
        if self._form == "jsonl":
            event(kind, "jsonl", **fields)
        else:
            to_stderr(json.dumps({"event": kind, **fields}) + "\n")

    def _due(
        self, done_bytes: int, total_bytes: int | None, *, every_s: float, share: float
    ) -> bool:
        """Whether it is time for another line."""
        now_s = time.monotonic()
        step = share * total_bytes if total_bytes else float("inf")
        whole = done_bytes == total_bytes and done_bytes > self._line_bytes
        if done_bytes - self._line_bytes < step and now_s - self._line_at_s < every_s and not whole:
            return False
        self._line_at_s, self._line_bytes = now_s, done_bytes
        return True

    def _remark(self, text: str) -> None:
        if self._form != "words":
            self._line("note", text=text)
        elif self._bar is not None:
            self._bar.console.print(printable(text), markup=False, highlight=False)
        else:
            talk(text)


def _bar(how: Look) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[amount]}", markup=False, justify="right"),
        TextColumn("{task.fields[rate]}", markup=False, justify="right"),
        TextColumn("{task.fields[left]}", markup=False, justify="right"),
        console=Console(stderr=True, no_color=not how.colour),
        transient=True,
        expand=True,
    )


def _amount(done_bytes: int, total_bytes: int | None) -> str:
    if total_bytes is None:
        return size_text(done_bytes)
    return f"{size_text(done_bytes)} of {size_text(total_bytes)}"


def _left(done_bytes: int, total_bytes: int | None, rate: float) -> str:
    if total_bytes is None or rate <= 0 or done_bytes >= total_bytes:
        return ""
    return f"{time_text((total_bytes - done_bytes) / rate)} left"


def _but(fits: bool | None, good: str = "") -> str:
    if fits is None:
        return ""
    if fits:
        return f": {good}" if good else ""
    return ": it does not fit"


def _partial_bytes(part: Path) -> int:
    try:
        return part.stat().st_size
    except OSError:
        return 0


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder
