"""Many hands on one manager at once: whatever they do, nothing hangs and nothing is left."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from pathlib import Path

import pytest
from impostor import pretend
from managing import House, ask, house, spec

from kolo.errors import Busy, EngineCrashed, EngineStopped, LoadFailed, OutOfMemory
from kolo.manager.backoff import Backoff

ANSWERS = """
next(frames)
send(wire.Loading("weights", 0.0)); time.sleep(0.02); send(wire.Loading("weights", 1.0))
ready(parallel=4)
for frame in frames:
    if isinstance(frame, wire.Submit):
        for word in ("one ", "two ", "three"):
            delta(frame.id, word)
        done(frame.id)
    elif isinstance(frame, wire.Stop):
        break
"""
EXPECTED = (Busy, EngineCrashed, EngineStopped, LoadFailed, OutOfMemory, asyncio.CancelledError)
IDS = ("a4", "b4", "c4")


async def generate(home: House, dice: random.Random) -> None:
    async with home.manager.lease(dice.choice(IDS)) as engine, engine.submit(ask()) as stream:
        text = "".join([delta.text async for delta in stream])
        assert text == "one two three"


async def leave_early(home: House, dice: random.Random) -> None:
    task = asyncio.create_task(generate(home, dice))
    await asyncio.sleep(dice.random() * 0.2)
    task.cancel()
    await task


async def unload(home: House, dice: random.Random) -> None:
    await home.manager.unload(dice.choice(IDS), force=dice.random() < 0.5)


async def kill(home: House, dice: random.Random) -> None:
    status = home.status(dice.choice(IDS))
    if status.pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(status.pid, signal.SIGKILL)


async def one_hand(home: House, dice: random.Random) -> int:
    """Twelve random deeds; how many requests were answered."""
    answered = 0
    for _ in range(12):
        deed = dice.choices((generate, leave_early, unload, kill), (6, 2, 2, 1))[0]
        try:
            await deed(home, dice)
            answered += deed is generate
        except EXPECTED:
            pass
    return answered


@pytest.mark.parametrize("seed", range(3))
async def test_random_deeds_leave_a_manager_that_still_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    pretend(monkeypatch, ANSWERS)
    limits = {"backoff": lambda: Backoff(0.01, 0.02), "idle_unload_s": 0.1, "stop_grace_ms": 5_000}
    async with house(tmp_path, gib=9, specs=[spec(id) for id in IDS], **limits) as home:
        async with asyncio.timeout(100):
            hands = [one_hand(home, random.Random(f"{seed} {at}")) for at in range(8)]
            assert sum(await asyncio.gather(*hands)) > 0
            assert [status.leases for status in home.manager.list()] == [0] * len(IDS)
            for id in IDS:
                async with home.manager.lease(id) as engine:
                    async with engine.submit(ask()) as stream:
                        assert [delta.text async for delta in stream]
                    assert engine.in_flight == 0


@pytest.mark.parametrize("seed", range(3))
async def test_closing_amid_random_deeds_leaves_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    pretend(monkeypatch, ANSWERS)
    dice = random.Random(seed)
    async with house(tmp_path, gib=9, specs=[spec(id) for id in IDS]) as home:
        hands = [
            asyncio.create_task(one_hand(home, random.Random(f"{seed} {at}"))) for at in range(6)
        ]
        await asyncio.sleep(dice.random() * 0.6)
        await home.manager.close()
        async with asyncio.timeout(30):
            await asyncio.gather(*hands)
        assert set(home.states().values()) <= {"unloaded", "failed"}
