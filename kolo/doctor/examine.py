"""Running the checks: one after the other, each with its deadline."""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import NamedTuple

from msgspec.structs import replace

from kolo.doctor.report import Finding, fail
from kolo.doctor.subject import Subject
from kolo.errors import KoloError

CheckFunction = Callable[[Subject], Iterator[Finding]]


class Check(NamedTuple):
    """Where a check is, and how long it may take. Imported when it is its turn."""

    name: str
    module: str
    function: str
    deadline_s: float = 30.0

    def load(self) -> CheckFunction:
        function: CheckFunction = getattr(importlib.import_module(self.module), self.function)
        return function


GENERATION = "generation"
CHECKS = (
    Check("python", "kolo.doctor.software", "python"),
    Check("libraries", "kolo.doctor.software", "libraries"),
    Check("llama.cpp", "kolo.doctor.software", "llama_cpp", 60.0),
    Check("cpu", "kolo.doctor.software", "cpu", 60.0),
    Check("gpu", "kolo.doctor.hardware", "gpus"),
    Check("memory", "kolo.doctor.hardware", "memory"),
    Check("settings", "kolo.doctor.places", "settings"),
    Check("folders", "kolo.doctor.places", "folders"),
    Check("disk", "kolo.doctor.hardware", "disk"),
    Check("model", "kolo.doctor.hardware", "model"),
    Check("port", "kolo.doctor.network", "port"),
    Check("monitor socket", "kolo.doctor.network", "monitor_socket"),
    Check("server", "kolo.doctor.network", "server"),
    Check("service", "kolo.doctor.running", "service"),
    Check(GENERATION, "kolo.doctor.running", "generation", 120.0),
)
"""In the order in which they are made and told. The deadlines are for a machine in trouble: the
checks take a few seconds together."""


def examine(*, generate: bool = True, checks: tuple[Check, ...] = CHECKS) -> Iterator[Finding]:
    """Every finding as it comes. ``generate``: have a model say a word."""
    subject = Subject()
    for check in checks:
        if generate or check.name != GENERATION:
            yield from _bounded(check, subject)


def _bounded(check: Check, subject: Subject) -> Iterator[Finding]:
    """The check's findings, and another one if it fails itself or takes too long. It runs in a
    thread that is left behind when it hangs, in a driver or on a dead network drive."""
    told: SimpleQueue[Finding | None] = SimpleQueue()

    def run() -> None:
        try:
            for finding in check.load()(subject):
                told.put(finding)
        except Exception as error:  # whatever a check stumbles over is its finding
            told.put(_stumbled(check, error))
        told.put(None)

    threading.Thread(target=run, name=f"doctor {check.name}", daemon=True).start()
    began_s = time.monotonic()
    while True:
        left_s = began_s + check.deadline_s - time.monotonic()
        try:
            finding = told.get(timeout=max(left_s, 0.0))
        except Empty:
            yield fail(
                check.name,
                f"no answer within {check.deadline_s:g} s",
                "look for what hangs: a driver, or a drive of another machine",
            )
            return
        if finding is None:
            return
        yield replace(finding, took_ms=round((time.monotonic() - began_s) * 1000, 1))


def _stumbled(check: Check, error: Exception) -> Finding:
    if isinstance(error, ModuleNotFoundError):
        return fail(
            check.name,
            f"a library is missing: {error.name or error}",
            "install Kolo anew: pip install --force-reinstall kolo-llm",
        )
    if isinstance(error, KoloError):
        return fail(check.name, *_in_one_line(error))
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return fail(
            check.name, f"{where}{error.strerror}", "see whether it may be read and written"
        )
    return fail(
        check.name,
        f"the check itself failed: {type(error).__name__}: {error}",
        "report this as a defect of Kolo",
    )


def _in_one_line(error: KoloError) -> tuple[str, str]:
    what = " ".join(error.message.split())
    return what, " ".join(error.hint.split())
