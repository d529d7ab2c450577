"""Writing the settings file: whole or not at all, and never one that is worse than before."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path
from typing import NamedTuple

from kolo.config.problems import Problem, as_error
from kolo.config.reading import Reading, find_file, read_settings
from kolo.errors import ConfigError
from kolo.flock import lock
from kolo.whole import replace_text, write_whole

READABLE_BY_OTHERS = 0o077


class Rewritten(NamedTuple):
    """The settings before a change of their file and after it."""

    before: Reading
    after: Reading
    changed: bool


def rewrite(
    env: Mapping[str, str], change: Callable[[str], str], *, private: bool = False
) -> Rewritten:
    """Change the text of the settings file, made if it is not there.

    ConfigError, and nothing written, when the file is no TOML or the change makes a problem that
    was not there before. ``private`` makes a new file readable for its owner alone.
    """
    file, _ = find_file(env)
    with _held(file):
        before = read_settings(env, file, text=_text(file))
        if before.document.trouble:
            raise as_error(before.problems)
        text = change(before.document.text)
        after = read_settings(env, file, text=text)
        if new := _new(before.problems, after.problems):
            raise as_error(new)
        changed = text != before.document.text
        if changed:
            _write(file, text, 0o600 if private else None)
    return Rewritten(before, after, changed)


def write_text(file: Path, text: str) -> None:
    """Put ``text`` into ``file`` whole. A link stays one; mode and owner stay as they are.

    ConfigError when it cannot be written, and then it is as it was.
    """
    with _held(file):
        _write(file, text, None)


def copy_aside(file: Path) -> Path:
    """A copy beside ``file``, to the byte and for nobody who may not read it; where it is.

    No earlier copy is written over. ConfigError when it cannot be written.
    """
    names = chain([".old"], (f".old{n}" for n in count(2)))
    kept = next(path for end in names if not (path := file.with_name(file.name + end)).exists())
    try:
        write_whole(kept, file.read_bytes(), mode=stat.S_IMODE(file.stat().st_mode))
    except OSError as error:
        raise _cannot(kept, error) from error
    return kept


def _write(file: Path, text: str, mode: int | None) -> None:
    try:
        replace_text(file, text, mode=mode)
    except OSError as error:
        raise _cannot(file, error) from error


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: is not UTF-8: {error.reason} at byte {error.start}") from None


@contextmanager
def _held(file: Path) -> Iterator[None]:
    """One writer at a time: a lock on the file's folder, made if it is not there (flock(2))."""
    folder = Path(os.path.realpath(file)).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise _cannot(file, error) from error
    try:
        try:
            lock(fd)
        except OSError as error:
            raise _cannot(file, error) from error
        yield
    finally:
        os.close(fd)


def _new(before: list[Problem], after: list[Problem]) -> list[Problem]:
    """Problems that were not there before, whatever line they are on now."""
    known = {(problem.what, problem.key) for problem in before}
    return [problem for problem in after if (problem.what, problem.key) not in known]


def _cannot(file: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"{file}: cannot be written: {error.strerror}",
        hint="KOLO_CONFIG names another file; KOLO_HOME moves all folders.",
    )
