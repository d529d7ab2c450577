"""What ``kolo bench --shape`` names: a known model or dimensions, and a quantization.

``qwen2.5-7b:q4_k_m``, or ``arch=llama,layers=16,embd=2048,heads=32,kv_heads=8,ff=8192,
vocab=128256,tied=true:q8_0``. ``made`` writes such a model with random weights, for as long as it
is needed.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import shutil
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import get_args

import msgspec
import psutil
from msgspec import Struct

from kolo.bench.blueprint import header, plan
from kolo.bench.dimensions import Architecture, Dimensions
from kolo.bench.known import KNOWN
from kolo.bench.layers import Tell
from kolo.bench.quants import BASE_TYPES
from kolo.bench.result import Shape
from kolo.errors import BadParameter, ConfigError, LoadFailed
from kolo.manager.memory import human
from kolo.models.header import Header
from kolo.models.writer import data_bytes
from kolo.paths import find_paths

DEFAULT_QUANT = "Q4_K_M"
_QUANT_SUFFIX = re.compile(r"[:.-](i?q\d\w*|b?f16|f32|mxfp4)(\.gguf)?$", re.IGNORECASE)
_VARIANTS = re.compile(
    r"^(hf|ollama|meta)-|-(instruct|it|chat|base|coder|math|hf|gguf|preview|v\d+(\.\d+)*)\b"
)
_SPARE_DISK_BYTES = 256 << 20


class Wanted(Struct, frozen=True):
    """A shape as it was asked for."""

    name: str
    quant: str
    dimensions: Dimensions

    @property
    def title(self) -> str:
        return f"{self.name}:{self.quant.lower()}"

    def header(self) -> Header:
        """What would be read from the file, before there is one."""
        return header(self.dimensions, self.quant, Path(f"{self.title}.gguf"))

    def result(self) -> Shape:
        """For the document of a run."""
        named = msgspec.to_builtins(self.dimensions)
        return Shape(
            name=self.name,
            architecture=self.dimensions.arch,
            quant=self.quant,
            n_params=self.dimensions.n_params,
            size_bytes=data_bytes(plan(self.dimensions, self.quant)),
            dimensions={key: int(value) for key, value in named.items() if key != "arch"},
        )


def parse(text: str) -> Wanted:
    """A shape from ``NAME[:QUANT]`` or ``arch=...,layers=...[:QUANT]``.

    Raises BadParameter with the nearest name, or with what is wrong of the dimensions.
    """
    name, _, given = text.strip().partition(":")
    own = "=" in name
    dimensions = _dimensions(name) if own else _known(name)
    default = "MXFP4" if dimensions.arch == "gpt-oss" else DEFAULT_QUANT
    quant = _quant(given) if given else default
    known = f"{dimensions.arch}-{dimensions.layers}x{dimensions.embd}" if own else _find(name)
    return Wanted(known, quant, dimensions)


@asynccontextmanager
async def made(name: str, tell: Tell, *, keep: bool = False) -> AsyncIterator[tuple[Path, Shape]]:
    """A model file of that shape in the cache folder, gone when the context is left.

    With ``keep`` it stays, and is found again by the next. Raises BadParameter for a name nobody
    knows, and LoadFailed when the disk has no room.
    """
    wanted = parse(name)
    async with written(wanted, tell, keep=keep) as path:
        yield path, wanted.result()


@asynccontextmanager
async def written(wanted: Wanted, tell: Tell, *, keep: bool = False) -> AsyncIterator[Path]:
    """As ``made``, for a shape that is parsed already."""
    folder = find_paths(os.environ).cache / "shapes"
    _sweep(folder)
    own = folder if keep else folder / f"run-{os.getpid()}"
    path = own / f"{wanted.name}-{wanted.quant.lower()}.gguf"
    try:
        if not path.exists():
            check_disk(wanted, folder)
            own.mkdir(parents=True, exist_ok=True)
            await _write(wanted, path, tell)
        yield path
    finally:
        if not keep:
            shutil.rmtree(own, ignore_errors=True)


def check_disk(wanted: Wanted, folder: Path) -> None:
    """LoadFailed if the file would not leave a little room on the disk of ``folder``."""
    needed = wanted.result().size_bytes + _SPARE_DISK_BYTES
    free = disk_free_bytes(folder)
    if needed > free:
        raise LoadFailed(
            f"{wanted.title} takes {human(needed)} on disk, {human(free)} are free in {folder}",
            hint="set KOLO_HOME or XDG_CACHE_HOME to a larger disk, or take a smaller quant",
        )


def disk_free_bytes(folder: Path) -> int:
    """Of the disk that holds ``folder``, or would."""
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return shutil.disk_usage(there).free


async def _write(wanted: Wanted, path: Path, tell: Tell) -> None:
    from kolo.bench.synth import synthesize  # numpy, which only writing needs

    total = wanted.result().size_bytes
    stop = threading.Event()
    done = 0

    def on_written(n_bytes: int) -> None:
        nonlocal done
        if stop.is_set():
            raise InterruptedError
        before, done = done, done + n_bytes
        if done * 100 // total != before * 100 // total:
            tell(f"writing {wanted.title}, {human(total)}: {done / total:.0%}")

    def write() -> None:
        synthesize(path, wanted.dimensions, wanted.quant, name=wanted.title, on_written=on_written)

    writing = asyncio.create_task(asyncio.to_thread(write))
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        stop.set()
        with contextlib.suppress(InterruptedError):
            await writing
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise LoadFailed(
                f"the disk is full: {wanted.title} takes {human(total)} in {path.parent}",
                hint="set KOLO_HOME or XDG_CACHE_HOME to a larger disk, or take a smaller quant",
            ) from error
        raise ConfigError(
            f"cannot write {path}: {error.strerror}",
            hint="set KOLO_HOME or XDG_CACHE_HOME to a folder Kolo may write to",
        ) from error


def _sweep(folder: Path) -> None:
    """Remove what runs that were killed have left."""
    for left in folder.glob("run-*"):
        pid = left.name.removeprefix("run-")
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(left, ignore_errors=True)


def named(reference: str) -> str | None:
    """The known shape that a model's name tells of: ``owner/Qwen2.5-7B-Instruct-GGUF:Q4_K_M``,
    ``qwen2.5:7b``. None for one that nobody knows."""
    plain = _QUANT_SUFFIX.sub("", reference).rpartition("/")[2].replace(":", "-")
    with contextlib.suppress(BadParameter):
        return _find(plain)
    return None


def _known(name: str) -> Dimensions:
    return KNOWN[_find(name)]


def _find(name: str) -> str:
    """The name of the table that ``name`` is a way of writing."""
    spellings = {_spelling(known): known for known in KNOWN}
    wanted = _spelling(name)
    if found := spellings.get(wanted):
        return found
    near = get_close_matches(wanted, spellings, n=3, cutoff=0.6)
    hint = ", ".join(spellings[one] for one in near) or ", ".join(list(KNOWN)[:6]) + ", ..."
    raise BadParameter(
        f"no shape is known by the name {name!r}",
        hint=f"such as {hint}; or give dimensions: arch=llama,layers=...",
        param="shape",
    )


def _spelling(name: str) -> str:
    """Without what is the same model to run: ``Llama-3.2-1B-Instruct`` is ``llama321b``."""
    plain = name.lower().rpartition("/")[2].replace("_", "-")
    return re.sub(r"[^a-z0-9]", "", _VARIANTS.sub("", plain))


def _quant(text: str) -> str:
    quant = text.upper().replace("-", "_")
    if quant not in BASE_TYPES:
        raise BadParameter(
            f"no quantization is known by the name {text!r}",
            hint=f"one of {', '.join(name.lower() for name in BASE_TYPES)}",
            param="shape",
        )
    return quant


def _dimensions(text: str) -> Dimensions:
    given: dict[str, object] = {}
    for part in text.split(","):
        key, equals, value = part.strip().partition("=")
        if not equals or key not in Dimensions.__struct_fields__:
            raise BadParameter(
                f"--shape: {part.strip()!r} is no dimension",
                hint=f"one of {', '.join(Dimensions.__struct_fields__)}, each as name=value",
                param="shape",
            )
        given[key] = value.strip()
    try:
        found = msgspec.convert(given, Dimensions, strict=False)
    except msgspec.ValidationError as error:
        raise BadParameter(
            f"--shape: {error}",
            hint="arch is one of " + ", ".join(get_args(Architecture)),
            param="shape",
        ) from None
    if problem := found.problem():
        raise BadParameter(f"--shape: {problem}", param="shape")
    return found
