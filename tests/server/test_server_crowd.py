"""A crowd of streams on a ``kolo serve`` of its own: whole, right, and nothing is left of it."""

from __future__ import annotations

import asyncio
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psutil
import pytest
from serving import events

CROWD = 200
LEAVING = CROWD // 20
CHAT = "/v1/chat/completions"
BODY = {
    "model": "guide",
    "messages": [{"role": "user", "content": "What is Kolo?"}],
    "temperature": 0,
    "stream": True,
}
GROWTH_BYTES = 8 << 20
"""The most that the server, or its worker, may have grown over a crowd once it has had one: the
allocator keeps some room for the next, and a leak of 50 KiB for each stream would show."""
PATIENCE_S = 60


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, psutil.Process]]:
    """The address of a server with eight slots, and its process."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    command = [sys.executable, "-m", "kolo", "serve", "guide", "--port", "0", "--parallel", "8"]
    process = subprocess.Popen(
        [*command, "--threads", "1"],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**kept, "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(runtime)},
    )
    try:
        assert process.stderr is not None
        found = None
        while found is None:
            line = process.stderr.readline().decode()
            assert line, "the server ended before it was there"
            found = re.search(r"serves at (http://\S+)", line)
        yield found[1], psutil.Process(process.pid)
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0


def text_of(stream: bytes) -> str:
    *chunks, done = events(stream)
    assert done == "[DONE]"
    return "".join(
        choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"]
    )


async def crowd(url: str, leaving: set[int]) -> list[str | None]:
    """What each of CROWD clients read; None for those that left at their first piece."""
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx2.AsyncClient(base_url=url, timeout=PATIENCE_S * 2, limits=limits) as client:

        async def one(at: int) -> str | None:
            async with client.stream("POST", CHAT, json=BODY) as response:
                assert response.status_code == 200
                received = b""
                async for piece in response.aiter_bytes():
                    received += piece
                    if at in leaving:
                        return None
            return text_of(received)

        return await asyncio.gather(*(one(at) for at in range(CROWD)))


async def hung_up(process: psutil.Process) -> None:
    """Wait until the server has closed every connection."""
    async with asyncio.timeout(PATIENCE_S):
        while _connections(process):  # noqa: ASYNC110 (it happens in another process)
            await asyncio.sleep(0.02)


def _connections(process: psutil.Process) -> int:
    found = process.net_connections("tcp")
    return sum(each.status != psutil.CONN_LISTEN for each in found)


async def busy_slots(url: str) -> int:
    async with httpx2.AsyncClient(base_url=url, timeout=PATIENCE_S) as client:
        slots = (await client.get("/slots", params={"model": "guide"})).json()
    assert len(slots) == 8
    return sum(slot["is_processing"] for slot in slots)


async def test_a_crowd_of_streams_with_some_that_leave(
    server: tuple[str, psutil.Process],
) -> None:
    """200 at once on eight slots, every twentieth leaving: the others are whole and right, and
    slots, sockets and memory are as they were."""
    url, process = server
    warm = await crowd(url, set())
    assert len(set(warm)) == 1
    await hung_up(process)
    (worker,) = process.children()
    n_files = {each.pid: each.num_fds() for each in (process, worker)}
    sizes = {each.pid: each.memory_info().rss for each in (process, worker)}

    leaving = set(random.Random(5).sample(range(CROWD), LEAVING))
    answers = await crowd(url, leaving)
    assert [at for at, answer in enumerate(answers) if answer is None] == sorted(leaving)
    assert {answer for answer in answers if answer is not None} == set(warm)

    assert await busy_slots(url) == 0
    await hung_up(process)
    assert process.children() == [worker]
    assert {each.pid: each.num_fds() for each in (process, worker)} == n_files
    growth = [each.memory_info().rss - sizes[each.pid] for each in (process, worker)]
    assert max(growth) <= GROWTH_BYTES
