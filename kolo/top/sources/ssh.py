"""A server on another machine, over ssh: ``kolo top --jsonl`` runs there.

Nothing but ssh and Kolo is needed on the other side, and no port is opened. A password cannot be
asked for, since the screen has the terminal: keys or an agent must do.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import suppress

import msgspec

from kolo.errors import ServerUnreachable, UsageError
from kolo.snapshot import Message, decode
from kolo.top.session import Told
from kolo.top.sources.base import keep_up

OPTIONS = (
    "-T",
    "-o", "BatchMode=yes",
    "-o", "ConnectTimeout=10",
    "-o", "ServerAliveInterval=5",
    "-o", "ServerAliveCountMax=3",
)  # fmt: skip
MAX_LINE_BYTES = 64 << 20
MAX_COMPLAINT_BYTES = 4096
END_S = 2.0
"""How long ssh may take to end when it is told to."""
_NOT_FOUND = 127
_SSH_FAILED = 255


class Ssh:
    """``host`` is whatever ssh takes: a name, ``user@name``, an alias of its settings."""

    def __init__(self, host: str, *, interval_s: float = 1.0, program: str = "ssh") -> None:
        if not host or host.startswith("-") or any(sign.isspace() for sign in host):
            raise UsageError(
                f"--remote {host!r} is no host", hint="--remote user@host", param="--remote"
            )
        self.name = host
        self._program = program
        self._interval_s = interval_s
        self._process: asyncio.subprocess.Process | None = None

    def ask(self, interval_s: float) -> None:
        """Begun anew with the other interval: the far side is told by its command line."""
        self._interval_s = interval_s
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.terminate()

    def told(self) -> AsyncGenerator[Told, None]:
        return keep_up(self.once, interval_s=lambda: self._interval_s)

    async def once(self) -> AsyncGenerator[Message, None]:
        """One run of ssh. Raises ServerUnreachable with what it said at its end."""
        process = await self._start()
        self._process = process
        assert process.stdout is not None
        assert process.stderr is not None
        complaint = asyncio.create_task(_tail(process.stderr))
        try:
            while line := await _line(process.stdout):
                yield _message(line, self.name)
            code = await process.wait()
            raise self._ended(code, await complaint)
        finally:
            self._process = None
            await _end(process)
            complaint.cancel()
            await asyncio.wait({complaint})

    async def _start(self) -> asyncio.subprocess.Process:
        far = f"kolo top --jsonl --interval {self._interval_s:g}"
        try:
            return await asyncio.create_subprocess_exec(
                self._program, *OPTIONS, "--", self.name, far,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=MAX_LINE_BYTES,
                # A Ctrl-C in this terminal is for this program alone.
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise ServerUnreachable(
                f"{self._program} cannot be started: {error.strerror}",
                hint="Install OpenSSH's client.",
            ) from error

    def _ended(self, code: int, complaint: str) -> ServerUnreachable:
        if code == _NOT_FOUND:
            return ServerUnreachable(
                f"{self.name} has no kolo in the PATH of a command",
                hint="Install it there, or put it into a folder of that PATH.",
            )
        lines = [line.strip() for line in complaint.splitlines() if line.strip()]
        said = next((line for line in lines if line.startswith("error:")), lines[-1:] or "")
        text = said if isinstance(said, str) else said[0]
        hint = next((line for line in lines if line.startswith("try:")), "")
        if code == _SSH_FAILED:
            return ServerUnreachable(
                f"ssh {self.name}: {text or 'it failed'}", hint=f"Try it: ssh {self.name} true"
            )
        text = text.removeprefix("error: ") or f"kolo top ended with {code}"
        return ServerUnreachable(f"{self.name}: {text}", hint=hint.removeprefix("try: "))


async def _line(stream: asyncio.StreamReader) -> bytes:
    try:
        return await stream.readline()
    except ValueError as error:  # longer than the limit
        raise ServerUnreachable("what came over ssh is no Kolo's: a line without end") from error


def _message(line: bytes, host: str) -> Message:
    try:
        return decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        shown = line[:60].decode("utf-8", "replace").strip()
        raise ServerUnreachable(
            f"{host} sent what is none of the monitor's lines: {shown}",
            hint="A shell's start-up files there must print nothing; or its Kolo is of another "
            "version.",
        ) from error


async def _tail(stream: asyncio.StreamReader) -> str:
    """The last of what was complained."""
    said = b""
    while part := await stream.read(1024):
        said = (said + part)[-MAX_COMPLAINT_BYTES:]
    return said.decode("utf-8", "replace")


async def _end(process: asyncio.subprocess.Process) -> None:
    """With all that it started: it is the first of a session of its own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            async with asyncio.timeout(END_S):
                await process.wait()
                return
        except TimeoutError:
            continue
