"""Settings and folders: right, there, and ours to write."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

from kolo.doctor.report import Finding, fail, ok, warn
from kolo.doctor.subject import Subject


def settings(subject: Subject) -> Iterator[Finding]:
    """Every problem of the settings file and of the environment."""
    from kolo.config.reading import find_file

    file, _ = find_file(os.environ)
    reading = subject.reading
    for problem in reading.problems:
        yield fail("settings", f"{problem.place}: {problem.what}", _remedy(problem.hint, file))
    if reading.problems:
        return
    if not file.exists():
        yield ok("settings", f"the defaults: there is no {file}")
    elif file.stat().st_mode & stat.S_IWOTH:
        yield warn(
            "settings", f"{file}: anybody on this machine may change it", f"chmod o-w {file}"
        )
    else:
        yield ok("settings", str(file))


def _remedy(hint: str, file: Path) -> str:
    return hint or f"correct {file}; config.toml.example has every key"


def folders(subject: Subject) -> Iterator[Finding]:
    """The five folders, and that of the models: writable, or possible to make."""
    paths = subject.paths
    found = {name: getattr(paths, name) for name in paths.__struct_fields__}
    if subject.settings.store.dir:
        found["models"] = Path(subject.settings.store.dir)
    bad = False
    for name, folder in found.items():
        problem = trouble(folder)
        if problem:
            bad = True
            where, why = problem
            yield fail(
                "folders",
                f"{name}: {where}: {why}",
                "make it yours to write, or set KOLO_HOME to a folder that is",
            )
    others = yield from _runtime(paths.runtime)
    if not bad and not others:
        yield ok("folders", f"all {len(found)} may be written: kolo path shows them")


def _runtime(folder: Path) -> Generator[Finding, None, bool]:
    """Sockets are in it, so nobody else may be let in. Whether anything is wrong."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    if status.st_uid != os.getuid() or stat.S_ISLNK(status.st_mode):
        yield fail(
            "folders",
            f"runtime: {folder} belongs to somebody else",
            "remove it, or set XDG_RUNTIME_DIR to a folder of your own",
        )
    elif stat.S_IMODE(status.st_mode) & 0o077:
        yield warn("folders", f"runtime: others may enter {folder}", f"chmod 700 {folder}")
    else:
        return False
    return True


def trouble(folder: Path) -> tuple[Path, str] | None:
    """Which path is in the way of writing to a folder, and why; None if it can be written, or
    made. Whether it can be written is tried: rights do not tell of a read-only drive."""
    while True:
        try:
            if stat.S_ISDIR(folder.stat().st_mode):
                break
            return folder, "it is no folder"
        except (FileNotFoundError, NotADirectoryError):
            folder = folder.parent
        except OSError as error:
            return folder, error.strerror or str(error)
    try:
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return folder, f"it cannot be written: {error.strerror}"
