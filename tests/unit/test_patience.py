"""The one timer of many waits."""

from __future__ import annotations

import asyncio

import pytest

from kolo.server.patience import Patience


async def test_a_wait_that_is_too_long_ends_and_the_next_is_fresh() -> None:
    patience = Patience(0.02)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await patience.wait(asyncio.Event().wait())
        assert await patience.wait(asyncio.sleep(0, "quick")) == "quick"
    patience.close()


async def test_a_pause_between_two_waits_does_not_count() -> None:
    patience = Patience(0.02)
    await asyncio.sleep(0.06)
    assert await patience.wait(asyncio.sleep(0, "still here")) == "still here"
    patience.close()


async def test_a_cancel_from_outside_is_passed_on() -> None:
    patience = Patience(60)
    waiting = asyncio.create_task(patience.wait(asyncio.Event().wait()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    patience.close()


async def test_a_cancel_at_the_moment_of_the_timeout_is_passed_on() -> None:
    patience = Patience(0.01)
    waiting = asyncio.create_task(patience.wait(asyncio.Event().wait()))
    await asyncio.sleep(0)
    patience._look = lambda: None  # type: ignore[method-assign]
    patience._expired = True
    waiting.cancel()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    patience.close()


async def test_an_error_of_the_thing_itself_is_passed_on() -> None:
    async def fail() -> None:
        raise TimeoutError("its own")

    patience = Patience(60)
    with pytest.raises(TimeoutError, match="its own"):
        await patience.wait(fail())
    patience.close()
