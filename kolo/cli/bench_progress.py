"""What a person at a terminal sees while a benchmark runs: one line, written over."""

from __future__ import annotations

from kolo.bench.runner import Progress
from kolo.bench.tables import number
from kolo.cli.output import Status


class Ticker:
    """A context manager that leaves the line clean."""

    def __init__(self, *, quiet: bool) -> None:
        self._status = None if quiet else Status()

    def __enter__(self) -> Ticker:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def say(self, text: str) -> None:
        """What is going on before and after the rounds."""
        if self._status is not None:
            self._status.show(text)

    def tell(self, progress: Progress) -> None:
        """How a round goes."""
        self.say(line_of(progress))

    def clear(self) -> None:
        """Wipe the line: something else is to be written."""
        if self._status is not None:
            self._status.clear()


def line_of(progress: Progress) -> str:
    """``37 % · round 2/3 · 8 users · kolo · 12/16 requests · 143 tok/s · TTFT 35 ms``."""
    if progress.stage:
        return f"{progress.stage} {progress.target}"
    of = "" if progress.expected is None else f"/{progress.expected}"
    done = progress.done_rounds / progress.all_rounds if progress.all_rounds else None
    parts = [
        *([] if done is None else [f"{done:.0%}".replace("%", " %")]),
        f"round {progress.round}/{progress.rounds}",
        *([progress.workload] if progress.workload else []),
        progress.load,
        progress.target,
        f"{progress.requests}{of} requests",
    ]
    if progress.elapsed_s and progress.pieces:
        parts.append(f"{number(progress.pieces / progress.elapsed_s)} tok/s")
    if progress.ttft_ms is not None:
        parts.append(f"TTFT {number(progress.ttft_ms)} ms")
    if progress.errors:
        parts.append(f"{progress.errors} errors")
    return " · ".join(parts)
