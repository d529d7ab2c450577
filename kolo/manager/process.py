"""One worker process: spawn, handshake with a deadline, frames both ways, kill, reap.

Nothing here knows what a request is. Frames from the worker go to one callback, straight from
the event loop; the end of the worker, however it comes, goes to another, exactly once.

A child is never left behind: from the moment it exists a task of its own waits for its end,
so that every way out of ``start`` and ``stop`` only has to kill it.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from kolo import wire
from kolo.errors import Busy, KoloError, LoadFailed, OutOfMemory, UsageError, from_info
from kolo.manager.logs import WorkerLog
from kolo.types import ModelInfo

MAX_UNSENT_BYTES = 64 << 20
"""Bytes a worker may be behind in reading before new requests are turned away."""
LAST_GASP_MS = 500
"""How long the exit status and the last output may follow the end of the connection."""
KILL_WAIT_MS = 10_000
"""How long a killed process may take to die; longer means the kernel holds it."""

_SECRETS = ("_TOKEN", "_API_KEY", "_API_KEYS", "_SECRET", "_PASSWORD")
_SIGNAL_HINTS = {
    signal.SIGKILL: "If nobody killed it, the kernel did for want of memory (see dmesg): load "
    "with a smaller context, fewer parallel requests or a smaller quant.",
    signal.SIGILL: "This build of llama.cpp uses instructions this CPU does not have.",
    signal.SIGBUS: "The model file may have been cut short while it was mapped: verify it.",
}

_NO_MEMORY = re.compile(
    r"bad_alloc|MemoryError|annot allocate memory|failed to allocate|out of memory|"
    r"insufficient memory|memory allocation.*failed|failed to map segment",
    re.IGNORECASE,
)
"""What Python, the C++ runtime, the loader, llama.cpp and drivers say when memory ends."""

OnFrame = Callable[[wire.Up], None]
OnLoading = Callable[[wire.Loading], None]
OnNote = Callable[[wire.Note], None]


def worker_command(fd: int) -> list[str]:
    """The command line of a worker; ``-P`` keeps the current folder off its import path."""
    return [sys.executable, "-P", "-m", "kolo.engine.worker", "--fd", str(fd)]


class WorkerProcess:
    """A worker that has loaded its model. Made by ``start``; lives on one event loop."""

    def __init__(self, child: asyncio.subprocess.Process, log: WorkerLog) -> None:
        loop = asyncio.get_running_loop()
        self.pid = child.pid
        self.info = ModelInfo()
        self.load_ms = 0.0
        self.heard_at_s = loop.time()
        """When it last said something, on the event loop's clock: the same for all frames of one
        read."""
        self._child = child
        self._log = log
        self._frames = wire.FrameBuffer()
        self._on_frame: OnFrame = _ignore
        self._link: asyncio.WriteTransport | None = None
        self._output: asyncio.BaseTransport | None = None
        self._blame = ""
        self._link_closed: asyncio.Future[None] = loop.create_future()
        self._output_closed: asyncio.Future[None] = loop.create_future()
        self._ended: asyncio.Future[None] = loop.create_future()
        self._reaper = asyncio.create_task(self._reap(), name=f"reap worker {self.pid}")

    @classmethod
    async def start(
        cls,
        load: wire.Load,
        *,
        log_path: Path,
        deadline_ms: float,
        on_spawn: Callable[[int], None],
        on_loading: OnLoading,
        on_note: OnNote,
    ) -> WorkerProcess:
        """Spawn a worker and have it load a model; returns once it is ready.

        ``deadline_ms`` is the longest wait for a next sign of progress, not for the whole load:
        a large model on a slow disk is slow, one that stands still hangs. Raises what the worker
        refused with, or LoadFailed when it crashed, hung or could not be started. Whatever is
        raised, cancellation included, the process is dead by then. ``on_spawn`` takes its pid.
        """
        link, their_link = socket.socketpair()
        output_fd, their_output_fd = os.pipe()
        try:
            child = await _spawn(their_link.fileno(), their_output_fd)
        except BaseException:
            link.close()
            os.close(output_fd)
            raise
        finally:
            their_link.close()
            os.close(their_output_fd)
        worker = cls(child, WorkerLog(log_path))
        try:
            on_spawn(worker.pid)
            await worker._connect(link, os.fdopen(output_fd, "rb", buffering=0))
            await worker._handshake(load, deadline_ms, on_loading, on_note)
        except BaseException:
            worker.kill()
            await worker.wait(KILL_WAIT_MS)
            raise
        return worker

    def attach(self, on_frame: OnFrame, on_end: Callable[[], None]) -> None:
        """Hand all further frames to ``on_frame``, and call ``on_end`` once, after the last.

        ``on_end`` comes at once when the connection is lost, with the exit status if the system
        tells it within ``LAST_GASP_MS``. An ``on_frame`` that raises ValueError kills the worker.
        """
        self._on_frame = on_frame
        self._ended.add_done_callback(lambda _: on_end())

    def send(self, frame: wire.Down) -> None:
        """Write a frame without blocking. Raises Busy when the worker has stopped reading.

        A frame for a worker that is gone is dropped: ``on_end`` tells of that.
        """
        data = wire.encode(frame)
        if len(data) > wire.MAX_FRAME_BYTES:
            raise UsageError(
                f"the request is {len(data)} bytes, more than the {wire.MAX_FRAME_BYTES} a worker "
                "takes",
                hint="Send a shorter prompt or fewer inputs at once.",
            )
        if self._link is None or self._link.is_closing():
            return
        unsent_bytes = self._link.get_write_buffer_size()
        if isinstance(frame, wire.Submit) and unsent_bytes > MAX_UNSENT_BYTES:
            raise Busy(
                f"the worker is {unsent_bytes} bytes behind in reading requests",
                hint="Try again in a moment.",
                retry_after_s=1.0,
            )
        self._link.write(data)

    async def stop(self, grace_ms: float, farewell: wire.Stop | None = None) -> str:
        """Ask the worker to leave, kill it after ``grace_ms``; says how it ended.

        With a ``farewell`` it first has the time that is in it to save what it has cached.
        """
        if farewell is not None:
            self.send(farewell)
            if await self.wait(farewell.save_ms + grace_ms):
                return self.exit_text()
        self.send(wire.Stop())
        if not await self.wait(grace_ms):
            self.kill(f"did not stop within {grace_ms:g} ms")
            await self.wait(KILL_WAIT_MS)
        return self.exit_text()

    def kill(self, blame: str = "") -> None:
        """End the process group at once; ``blame`` becomes part of ``exit_text``."""
        if self._child.returncode is None:
            self._blame = self._blame or blame
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    async def wait(self, timeout_ms: float) -> bool:
        """Whether the process was gone and reaped within ``timeout_ms``."""
        await asyncio.wait({self._reaper}, timeout=timeout_ms / 1000)
        return self._reaper.done()

    def exit_text(self) -> str:
        """How the worker ended: ``killed by signal 9 (SIGKILL)``, ``exited with status 3``."""
        code = self._child.returncode
        if code is None:
            how = "lost its connection" if self._link_closed.done() else "is still running"
        elif code < 0:
            how = f"was killed by signal {-code} ({_signal_name(-code)})"
        else:
            how = f"exited with status {code}"
        return f"{self._blame} and {how}" if self._blame else how

    def stderr_tail(self) -> list[str]:
        """The last lines the worker printed, oldest first."""
        return self._log.tail()

    def post_mortem(self) -> str:
        """What helps after a crash: a word on the signal, the last lines, where the log is."""
        parts = []
        code = self._child.returncode
        if code is not None and code < 0 and not self._blame and -code in _SIGNAL_HINTS:
            parts.append(_SIGNAL_HINTS[signal.Signals(-code)])
        if last := self.stderr_tail()[-5:]:
            parts.append("Its last lines:\n  " + "\n  ".join(last))
        parts.append(f"Its log: {self._log.path}")
        return "\n".join(parts)

    async def _connect(self, link: socket.socket, output: BinaryIO) -> None:
        """Put both ends on the event loop, which owns each from then on, even if it fails.

        What the loop owns is closed through its transport alone: a descriptor closed behind its
        back may be another worker's by the time the loop notices, and is no longer watched.
        """
        loop = asyncio.get_running_loop()
        link.setblocking(False)
        try:
            self._link, _ = await loop.create_unix_connection(
                lambda: _Inlet(self._received, self._link_closed), sock=link
            )
        except BaseException:
            output.close()
            raise
        self._output, _ = await loop.connect_read_pipe(
            lambda: _Inlet(self._log.feed, self._output_closed), output
        )

    async def _handshake(
        self, load: wire.Load, deadline_ms: float, on_loading: OnLoading, on_note: OnNote
    ) -> None:
        answer: asyncio.Future[wire.Ready | KoloError] = self._ended.get_loop().create_future()
        progress = wire.Loading("start", 0.0)

        def on_frame(frame: wire.Up) -> None:
            nonlocal progress
            match frame:
                case wire.Loading():
                    if frame != progress and not patience.expired():
                        patience.reschedule(_from_now(deadline_ms))
                    progress = frame
                    on_loading(frame)
                case wire.Note():
                    on_note(frame)
                case wire.Ready() if not answer.done():
                    answer.set_result(frame)
                case wire.Refused() if not answer.done():
                    answer.set_result(from_info(frame.error))
                case _:
                    raise ValueError(f"{type(frame).__name__} before a request")

        try:
            async with asyncio.timeout_at(_from_now(deadline_ms)) as patience:
                try:
                    self._on_frame = on_frame
                    self.send(load)
                    await _first(answer, self._ended)
                finally:
                    self._on_frame = _ignore
        except TimeoutError:
            if not answer.done():
                where = f"{progress.stage}, {progress.fraction:.0%}"
                self.kill(f"made no progress in loading ({where}) for {deadline_ms / 1000:g} s")
                await self.wait(KILL_WAIT_MS)
        if not answer.done():
            what = f"the worker {self.exit_text()} while loading {load.path}"
            failed = OutOfMemory if self._died_of_memory() else LoadFailed
            raise failed(what, hint=self.post_mortem())
        ready = answer.result()
        if isinstance(ready, KoloError):
            await self.stop(LAST_GASP_MS)
            raise ready
        self.info, self.load_ms = ready.info, ready.load_ms

    def _died_of_memory(self) -> bool:
        """Killed as the kernel kills, or with its last words on it."""
        if self._blame:
            return False
        if self._child.returncode == -signal.SIGKILL:
            return True
        return any(_NO_MEMORY.search(line) for line in self.stderr_tail())

    def _received(self, data: bytes) -> None:
        self.heard_at_s = self._ended.get_loop().time()
        try:
            for body in self._frames.feed(data):
                self._on_frame(wire.decode_up(body))
        except (ValueError, msgspec.MsgspecError) as error:
            self.kill(f"sent a frame that makes no sense ({error})")
            self._on_frame = _ignore

    async def _reap(self) -> None:
        """See the process to its end, whoever waits for it or not."""
        exited = asyncio.create_task(self._child.wait())
        await _first(exited, self._link_closed)
        remains: list[asyncio.Future[Any]] = [exited, self._link_closed, self._output_closed]
        await asyncio.wait(remains, timeout=LAST_GASP_MS / 1000)
        if not exited.done():
            self.kill()
        self._ended.set_result(None)
        await exited
        if self._link is not None:
            self._link.abort()
        if self._output is not None:
            self._output.close()
        level = "E" if self._child.returncode else "I"
        self._log.close(f"{level} worker {self.pid} {self.exit_text()}")


class _Inlet(asyncio.Protocol):
    """Bytes to a callback, the end to a future."""

    def __init__(self, on_data: Callable[[bytes], None], closed: asyncio.Future[None]) -> None:
        self._on_data = on_data
        self._closed = closed

    def data_received(self, data: bytes) -> None:
        self._on_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed.set_result(None)


async def _spawn(link_fd: int, output_fd: int) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *worker_command(link_fd),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output_fd,
            stderr=output_fd,
            pass_fds=(link_fd,),
            env=_environment(),
            # Ctrl-C on the terminal is for the command line; it decides what its workers do.
            start_new_session=True,
        )
    except OSError as error:
        raise LoadFailed(
            f"cannot start a worker process: {error.strerror}",
            hint="Check the limits on processes and open files (ulimit -u, ulimit -n).",
        ) from error


def _environment() -> dict[str, str]:
    """Ours without secrets: a worker runs templates and grammars of strangers, needing none."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith(_SECRETS)}
    # llama.cpp's own backtrace forks a debugger, which would hold the pipes of a dead worker.
    return kept | {"GGML_NO_BACKTRACE": "1", "PYTHONUNBUFFERED": "1"}


async def _first(*awaited: asyncio.Future[Any]) -> None:
    await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)


def _from_now(delay_ms: float) -> float:
    return asyncio.get_running_loop().time() + delay_ms / 1000


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "a real-time signal"


def _ignore(frame: wire.Up) -> None:
    """Frames nobody waits for: before the load, or from a worker on its way out."""
