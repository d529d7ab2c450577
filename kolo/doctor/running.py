"""The service, and a model that says a word."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kolo.doctor.report import Finding, fail, ok, warn
from kolo.doctor.subject import Subject

if TYPE_CHECKING:
    from kolo.config import Settings
    from kolo.types import Generated

GENERATE_S = 110.0
PROMPT = "Kolo"


def service(subject: Subject) -> Iterator[Finding]:
    """The unit of the machine and that of the person, where systemd runs."""
    from kolo.service.manager import Service, ServiceError

    found = []
    for each in (Service(), Service(personal=True)):
        try:
            status = each.status()
        except ServiceError:  # no systemd, or none of the person's: nothing to look at
            continue
        if not status.installed:
            continue
        flag = " --user" if each.personal else ""
        what = f"{status.unit} is {status.state}"
        found.append(what)
        if status.state == "failed":
            yield fail(
                "service",
                f"{what} ({status.result})",
                f"kolo service status{flag}, journalctl{flag} -u kolo; then kolo service "
                f"start{flag}",
            )
        elif status.restarts:
            yield warn(
                "service",
                f"{what}, and was started anew {status.restarts} times",
                f"journalctl{flag} -u kolo says why",
            )
        else:
            yield ok("service", what)
    if not found:
        yield ok("service", "none is installed: kolo service install")


def generation(subject: Subject) -> Iterator[Finding]:
    """One token of the built-in model, from an engine of our own."""
    import asyncio

    from kolo.config import BUILTIN_MODEL

    began_s = time.monotonic()
    try:
        result = asyncio.run(_one_token(subject.settings))
    except TimeoutError:
        yield fail(
            "generation",
            f"{BUILTIN_MODEL} gave no token within {GENERATE_S:g} s",
            "kolo complete hi --local with KOLO_DEBUG=1 says more",
        )
        return
    took_s = time.monotonic() - began_s
    if result.usage.completion_tokens != 1:
        yield fail(
            "generation", f"{BUILTIN_MODEL} gave no token", "report this as a defect of Kolo"
        )
        return
    yield ok(
        "generation",
        f"{BUILTIN_MODEL} loaded and gave a token in {took_s:.1f} s, "
        f"{result.timings.ttft_ms:.0f} ms of them for the token",
    )


async def _one_token(settings: Settings) -> Generated:
    import asyncio
    from contextlib import aclosing

    from kolo.config import BUILTIN_MODEL
    from kolo.connect import connect
    from kolo.errors import InternalError
    from kolo.types import Generate, Prompt

    op = Generate(input=Prompt(text=PROMPT), max_tokens=1)
    async with (
        asyncio.timeout(GENERATE_S),
        connect(settings, local=True, model=BUILTIN_MODEL, brief=True) as connection,
        aclosing(await connection.generate(BUILTIN_MODEL, op)) as stream,
    ):
        async for _ in stream:
            pass
        if stream.result is None:
            raise InternalError("the answer ended without a result")
        return stream.result
