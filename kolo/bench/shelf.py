"""Runs that are kept: those that were given a name, and the last ones that were not.

Each is one JSON document in the state folder, ``bench/NAME.json`` or ``bench/last/TIME.json``.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

from kolo.bench.result import Run, decode, encode
from kolo.errors import UsageError
from kolo.whole import write_whole

UNNAMED_RUNS = 50
UNNAMED_BYTES = 100 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
LAST = "last"


class Shelf:
    """The kept runs of one state folder."""

    def __init__(self, state: Path) -> None:
        self._folder = state / "bench"
        self._unnamed = self._folder / LAST

    def check_free(self, name: str, *, overwrite: bool) -> None:
        """UsageError for a name that cannot be one, or that is taken. Asked before a run, since
        after it would be a pity."""
        if not _NAME.fullmatch(name) or name == LAST:
            raise UsageError(
                f"--save {name!r} is no name", hint="letters, digits, '.', '_' and '-'"
            )
        if self._path(name).exists() and not overwrite:
            raise UsageError(
                f"a run named {name!r} is already there", hint="another name, or --overwrite"
            )

    def keep(self, run: Run, name: str | None) -> Path:
        """Write a run down; without a name it goes to the last ones, of which the oldest go."""
        path = self._path(name) if name else self._unnamed / f"{_stamp(run.started)}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, encode(run))
        if not name:
            self._tidy()
        return path

    def load(self, reference: str) -> Run:
        """A kept run by its name, ``last``, ``last~1`` for the one before, or the path of a
        document. UsageError if there is none, or it cannot be read."""
        path = self._find(reference)
        try:
            return decode(path.read_bytes())
        except OSError as error:
            raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise UsageError(f"{path}: {error}") from None

    def all(self) -> Iterator[tuple[str, Run]]:
        """Every kept run with its name, the oldest first; what cannot be read is left out."""
        found = []
        for path in (*self._folder.glob("*.json"), *self._unnamed.glob("*.json")):
            try:
                run = decode(path.read_bytes())
            except (OSError, ValueError):
                continue
            found.append((path.stem if path.parent == self._folder else "", run))
        yield from sorted(found, key=lambda one: one[1].started)

    def _find(self, reference: str) -> Path:
        if match := re.fullmatch(r"last(?:~(\d+))?", reference):
            back = int(match[1] or 0)
            paths = (*self._folder.glob("*.json"), *self._unnamed.glob("*.json"))
            latest = sorted(paths, key=lambda path: path.stat().st_mtime_ns, reverse=True)
            if back < len(latest):
                return latest[back]
            raise UsageError(f"there are {len(latest)} runs, and no {reference}", hint="kolo bench")
        named = self._path(reference) if _NAME.fullmatch(reference) else None
        if named is not None and named.exists():
            return named
        path = Path(reference).expanduser()
        if path.suffix == ".json" or path.exists():
            return path
        names = ", ".join(sorted(each.stem for each in self._folder.glob("*.json"))[:8])
        raise UsageError(
            f"no run is named {reference!r}",
            hint=f"one of: {names}" if names else "kolo bench --save NAME",
        )

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _tidy(self) -> None:
        paths = sorted(self._unnamed.glob("*.json"), reverse=True)
        total = 0
        for number, path in enumerate(paths):
            total += path.stat().st_size
            if number and (number >= UNNAMED_RUNS or total > UNNAMED_BYTES):
                path.unlink(missing_ok=True)


def _stamp(started: float) -> str:
    """A name that sorts by time."""
    moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime(started))
    return f"{moment}.{int(started % 1 * 1000):03d}"
