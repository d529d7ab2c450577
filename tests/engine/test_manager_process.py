"""One worker process, well-behaved or not: it loads, refuses, hangs, crashes, and is reaped."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import psutil
import pytest
from impostor import pretend

from kolo import wire
from kolo.errors import KoloError, LoadFailed
from kolo.logfile import parsed
from kolo.manager.process import WorkerProcess
from kolo.types import Inspect, LoadParams

LOAD = wire.Load("{}", LoadParams(), "fake")


class Start:
    """Starts workers and keeps what they told."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "logs" / "w.log"
        self.pid = 0
        self.loading: list[wire.Loading] = []
        self.notes: list[wire.Note] = []
        self.progressed = asyncio.Event()

    def _spawned(self, pid: int) -> None:
        self.pid = pid

    def _loading(self, frame: wire.Loading) -> None:
        self.loading.append(frame)
        self.progressed.set()

    async def __call__(self, deadline_ms: float = 60_000, load: wire.Load = LOAD) -> WorkerProcess:
        return await WorkerProcess.start(
            load,
            log_path=self.log,
            deadline_ms=deadline_ms,
            on_spawn=self._spawned,
            on_loading=self._loading,
            on_note=self.notes.append,
        )

    async def fails(self, deadline_ms: float = 60_000) -> KoloError:
        with pytest.raises(KoloError) as caught:
            await self(deadline_ms)
        assert not psutil.pid_exists(self.pid)
        return caught.value


@pytest.fixture
def start(tmp_path: Path) -> Start:
    return Start(tmp_path)


async def test_a_worker_loads_says_so_and_stops(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(
        monkeypatch,
        """
assert isinstance(next(frames), wire.Load)
send(wire.Loading("weights", 0.5), wire.Note("warning", "mind this"))
ready(n_ctx=77)
print("to stdout", flush=True)
print("to stderr", file=sys.stderr)
next(frames)
""",
    )
    worker = await start()
    assert worker.info.n_ctx == 77
    assert worker.load_ms == 1.0
    assert start.loading == [wire.Loading("weights", 0.5)]
    assert start.notes == [wire.Note("warning", "mind this")]
    assert os.getpgid(worker.pid) == worker.pid != os.getpgid(0)
    assert await worker.stop(60_000) == "exited with status 0"
    assert worker.stderr_tail() == ["to stdout", "to stderr"]
    told = [parsed(line) for line in start.log.read_text().splitlines()]
    ended = f"worker {worker.pid} exited with status 0"
    assert [line.message for line in told] == ["to stdout", "to stderr", ended]
    assert all(line.timestamp for line in told)
    assert not psutil.pid_exists(worker.pid)


async def test_a_refusal_is_the_error_the_worker_meant(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(
        monkeypatch,
        'send(wire.Refused(ErrorInfo("OutOfMemory", "too big", hint="less ctx", param="ctx")))',
    )
    error = await start.fails()
    assert type(error).__name__ == "OutOfMemory"
    assert (error.message, error.hint, error.param) == ("too big", "less ctx", "ctx")


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("sys.exit(3)", "exited with status 3"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "was killed by signal 11 (SIGSEGV)"),
        ("raise ValueError('unforeseen')", "exited with status 1"),
    ],
)
async def test_a_crash_while_loading_tells_how_and_the_last_lines(
    start: Start, monkeypatch: pytest.MonkeyPatch, code: str, how: str
) -> None:
    pretend(monkeypatch, f"next(frames)\nprint('last words', flush=True)\n{code}")
    error = await start.fails()
    assert isinstance(error, LoadFailed)
    assert how in error.message
    assert "last words" in error.hint
    assert str(start.log) in error.hint
    ended = parsed(start.log.read_text().splitlines()[-1])
    assert (ended.level, ended.message) == ("ERROR", f"worker {start.pid} {how}")


async def test_a_kill_by_the_system_while_loading_hints_at_memory(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, "next(frames); os.kill(os.getpid(), signal.SIGKILL)")
    error = await start.fails()
    assert "signal 9 (SIGKILL)" in error.message
    assert "memory" in error.hint


async def test_a_load_without_progress_is_killed_at_the_deadline(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, 'send(wire.Loading("weights", 0.25)); signal.pause()')
    error = await start.fails(deadline_ms=2_000)
    assert isinstance(error, LoadFailed)
    assert "no progress" in error.message
    assert "weights, 25%" in error.message or "start" in error.message


async def test_progress_renews_the_deadline(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(
        monkeypatch,
        """
for at in range(35):
    send(wire.Loading("weights", at / 35)); time.sleep(0.1)
ready()
next(frames)
""",
    )
    worker = await start(deadline_ms=3_000)
    assert len(start.loading) == 35
    await worker.stop(60_000)


@pytest.mark.parametrize(
    "code",
    [
        "sock.sendall(b'\\xff\\xff\\xff\\xff')",
        "sock.sendall(b'\\x03\\x00\\x00\\x00abc')",
        "done(7)",
    ],
)
async def test_frames_that_make_no_sense_end_the_worker(
    start: Start, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    pretend(monkeypatch, f"next(frames)\n{code}\nsignal.pause()")
    error = await start.fails()
    assert "makes no sense" in error.message


async def test_a_worker_that_will_not_stop_is_killed(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, "ready(); signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(99)")
    worker = await start()
    assert "did not stop within 10 ms" in await worker.stop(10)
    assert not psutil.pid_exists(worker.pid)


async def test_the_end_is_told_once_with_the_frames_before_it(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, "ready(); next(frames); next(frames); done(1); done(2); sys.exit(3)")
    worker = await start()
    frames: list[wire.Up] = []
    ends: list[int] = []
    ended = asyncio.Event()

    def end() -> None:
        ends.append(len(frames))
        ended.set()

    worker.attach(frames.append, end)
    worker.send(wire.Submit(1, Inspect()))
    await ended.wait()
    assert ends == [2]
    assert worker.exit_text() == "exited with status 3"
    worker.send(wire.Submit(2, Inspect()))
    assert await worker.wait(60_000)


async def test_a_worker_that_only_drops_the_connection_is_ended_too(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, "ready(); sock.close(); signal.pause()")
    worker = await start()
    ended = asyncio.Event()
    worker.attach(lambda frame: None, ended.set)
    await ended.wait()
    assert await worker.wait(60_000)
    assert not psutil.pid_exists(worker.pid)


async def test_cancelling_a_start_leaves_no_process(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, 'send(wire.Loading("weights", 0.1)); signal.pause()')
    task = asyncio.create_task(start())
    await start.progressed.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not psutil.pid_exists(start.pid)


async def test_a_worker_gets_no_secrets(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hush-hush")
    monkeypatch.setenv("KOLO_API_KEY", "hush-hush")
    pretend(monkeypatch, "ready(system_info=repr(dict(os.environ))); next(frames)")
    worker = await start()
    await worker.stop(60_000)
    assert "hush-hush" not in worker.info.system_info
    assert "'GGML_NO_BACKTRACE': '1'" in worker.info.system_info


async def test_a_terminal_interrupt_does_not_reach_a_worker(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, "ready(); next(frames)")
    worker = await start()
    assert os.getsid(worker.pid) != os.getsid(0)
    assert await worker.stop(60_000) == "exited with status 0"


async def test_starting_and_stopping_keeps_no_file_open(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, "next(frames); sys.exit(0)")
    await start.fails()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        await start.fails()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("steps", range(12))
async def test_a_start_cancelled_at_any_step_leaves_nothing_behind(
    start: Start, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """Not even a stale file descriptor in the event loop, which would deafen the next worker."""
    pretend(monkeypatch, "next(frames); ready(); next(frames)")
    before = len(os.listdir("/proc/self/fd"))
    task = asyncio.create_task(start())
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)  # it sees the cancellation now, and is still clearing up below
    async with asyncio.timeout(30):
        worker = await Start(start.log.parent)()
        await worker.stop(60_000)
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    assert len(os.listdir("/proc/self/fd")) == before
