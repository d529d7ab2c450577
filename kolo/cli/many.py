"""What ``kolo complete --jsonl`` and ``kolo embed --jsonl`` share: a run over lines."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from msgspec import Struct

from kolo.batch.lines import count_lines, lines_of
from kolo.batch.results import ResultFile
from kolo.batch.run import Line, Run, Tally
from kolo.cli import loop
from kolo.cli.output import Status, look, talk
from kolo.cli.partial import not_whole
from kolo.cli.prompt import HINT_AFTER_S
from kolo.cli.screen import Outlet
from kolo.config import Settings
from kolo.connect import Connection, connect
from kolo.errors import KoloError, UsageError

CONCURRENCY = 8
RETRIES = 8
"""With the pauses between them three quarters of a minute: a server that starts again is back."""


class Many(Struct, frozen=True, kw_only=True):
    """What was asked for on the command line; None is the default."""

    source: Path
    """``-`` is standard input."""
    out: Path | None
    retry_failed: bool
    model: str
    answer: Callable[[Connection, Any, Line], Awaitable[Struct]]
    concurrency: int | None
    timeout_s: float | None
    retries: int | None
    local: bool
    url: str | None
    allow_cut: bool = True


def run_many(many: Many, settings: Settings) -> int:
    """Do it, and say what came of it; the exit code."""
    with ExitStack() as held:
        fd = _opened(many.source, held)
        file = _results(many, held)
        screen = Progress(count_lines(fd))
        tally = Tally(file.kept if file is not None else [])
        if file is not None:
            _tell_kept(file, screen)
        try:
            loop.run(_run(many, settings, fd, file, tally, screen))
        except BaseException:
            screen.clear()
            if file is not None:
                talk(f"{tally.done} results are in {many.out}: the same command goes on from there")
            raise
        screen.clear()
        if file is not None:
            file.finish()
    return _conclude(many, tally)


async def _run(
    many: Many,
    settings: Settings,
    fd: int,
    file: ResultFile | None,
    tally: Tally,
    screen: Progress,
) -> None:
    to_stdout = Outlet(sys.stdout) if file is None else None

    async def write(record: bytes) -> None:
        if file is not None:
            file.write(record)
        elif to_stdout is not None:
            await to_stdout.write(record.decode() + "\n")
        screen.done(tally.done + 1)

    async with connect(
        settings, local=many.local, url=many.url, model=many.model, watcher=screen
    ) as connection:
        run = Run(
            ask=lambda content, line: many.answer(connection, content, line),
            write=write,
            tally=tally,
            concurrency=many.concurrency or CONCURRENCY,
            retries=RETRIES if many.retries is None else many.retries,
            timeout_s=many.timeout_s,
            told=screen.trouble,
        )
        lines = _said_to_wait(lines_of(fd), many.source)
        await (run.over(lines, file.kept, file.later) if file is not None else run.over(lines))


def _results(many: Many, held: ExitStack) -> ResultFile | None:
    if many.out is not None:
        return held.enter_context(ResultFile(many.out, retry_failed=many.retry_failed))
    if many.retry_failed:
        raise UsageError("--retry-failed is for --out", hint="--out FILE, or no --retry-failed")
    return None


def _opened(source: Path, held: ExitStack) -> int:
    if str(source) == "-":
        if sys.stdin is None:
            raise UsageError("--jsonl -: standard input is closed", param="--jsonl")
        return sys.stdin.fileno()
    try:
        fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        held.callback(os.close, fd)
        os.read(fd, 0)  # a folder can be opened, and not read
    except OSError as error:
        raise UsageError(
            f"--jsonl: cannot read {source}: {error.strerror}",
            hint="a file of requests, a line each, or - for standard input",
            param="--jsonl",
        ) from error
    return fd


async def _said_to_wait(
    lines: AsyncIterator[tuple[int, bytes]], source: Path
) -> AsyncIterator[tuple[int, bytes]]:
    """``lines``; when the first takes a while, say what is waited for."""
    hint = None
    if str(source) == "-":
        says = "reading requests from standard input, a line each"
        says += " (Ctrl-D ends it)" if os.isatty(sys.stdin.fileno()) else ""
        hint = asyncio.get_running_loop().call_later(HINT_AFTER_S, talk, says)
    async for line in lines:
        if hint is not None:
            hint.cancel()
        yield line
    if hint is not None:
        hint.cancel()


def _tell_kept(file: ResultFile, screen: Progress) -> None:
    if file.n_torn_bytes:
        talk(f"{file.path}: cut off a torn last line of {file.n_torn_bytes} bytes")
    if file.kept:
        screen.note(f"{file.path} holds {len(file.kept)} results already; going on after them")


def _conclude(many: Many, tally: Tally) -> int:
    cut = 0 if many.allow_cut else tally.cut
    if not tally.failed and not cut:
        return 0
    parts = [f"{tally.failed} failed"] if tally.failed else []
    parts += [f"{cut} cut by the length limit"] if cut else []
    hint = 'the results with an "error" say why' if tally.failed else "a larger -n, or --allow-cut"
    return not_whole(f"of {tally.done} requests: {', '.join(parts)}", hint)


class Progress:
    """How far the run is, on stderr; a watcher of the connection besides."""

    def __init__(self, total: int | None = None) -> None:
        self._status = Status()
        self._total = total
        self._talks = look(sys.stderr).terminal

    def loading(self, model: str, fraction: float | None) -> None:
        if fraction is None:
            self.clear()
        else:
            self._status.show(f"loading {model}", fraction)

    def unloaded(self, model: str) -> None:
        """The next request says so itself."""

    def note(self, text: str) -> None:
        if self._talks:
            self.clear()
            talk(text, faint=True)

    def done(self, n: int) -> None:
        share = n / self._total if self._total else None
        self._status.show(f"{n} of {self._total} done" if self._total else f"{n} done", share)

    def trouble(self, error: KoloError, pause_s: float) -> None:
        self._status.show(f"{error.message}; trying again")

    def clear(self) -> None:
        self._status.clear()
