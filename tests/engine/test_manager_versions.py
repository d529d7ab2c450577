"""A model that gets another version in the store while an engine of it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from managing import ENDLESS, House, answer, ask, house, spec
from msgspec.structs import replace

from kolo.config import Settings
from kolo.errors import KoloError, ModelNotFound
from kolo.models.resolve import ModelSpec

Follow = Callable[[ModelSpec | KoloError], None]


def version(no: int) -> ModelSpec:
    """The model ``m1`` as another file for each number."""
    return replace(spec("m1", {**ENDLESS, "words": 10**9 + no}), source="store", stored="m1")


async def alone(home: House) -> None:
    """Wait until the old engine is known no more."""
    async with asyncio.timeout(30):
        while home.states() != {"m1": "loaded"}:  # noqa: ASYNC110 no event tells of it
            await asyncio.sleep(0.01)


@pytest.fixture
def follow(monkeypatch: pytest.MonkeyPatch) -> Follow:
    """Says which version the store has in use."""
    now: list[ModelSpec | KoloError] = []

    def refreshed(one: ModelSpec, settings: Settings) -> ModelSpec:
        if one.source == "retired" or not now:
            return one
        if isinstance(now[-1], KoloError):
            raise now[-1]
        return replace(one, path=now[-1].path)

    monkeypatch.setattr("kolo.manager.manager.refreshed", refreshed)
    return now.append


async def test_the_old_engine_ends_its_answers_and_takes_no_new_ones(
    tmp_path: Path, follow: Follow
) -> None:
    async with house(tmp_path, specs=[version(1)]) as home:
        async with home.manager.lease("m1") as old, old.submit(ask()) as stream:
            await anext(stream)
            follow(version(2))
            async with home.manager.lease("m1") as new:
                assert new is not old
                assert new.spec.path == version(2).path
                assert (await answer(new, max_tokens=3)) != ""
            (retired,) = [id for id in home.states() if id != "m1"]
            assert home.states() == {"m1": "loaded", retired: "loaded"}
            assert [status.source for status in home.manager.list()].count("retired") == 1
            with pytest.raises(ModelNotFound):
                async with home.manager.lease(retired):
                    pass
            for _ in range(3):
                await anext(stream)
        await alone(home)


async def test_where_there_is_room_for_one_the_new_waits_for_the_old(
    tmp_path: Path, follow: Follow
) -> None:
    async with house(tmp_path, specs=[version(1)], gib=1) as home:
        async with home.manager.lease("m1") as old, old.submit(ask()) as stream:
            await anext(stream)
            follow(version(2))

            async def later() -> Path:
                async with home.manager.lease("m1") as engine:
                    return engine.spec.path

            waiting = asyncio.create_task(later())
            for _ in range(20):
                await anext(stream)
            assert not waiting.done()
        assert await waiting == version(2).path
        await alone(home)


async def test_an_engine_goes_on_when_its_new_version_cannot_be_had(
    tmp_path: Path, follow: Follow
) -> None:
    async with house(tmp_path, specs=[version(1)]) as home:
        async with home.manager.lease("m1") as old:
            pass
        follow(ModelNotFound("its file is gone"))
        async with home.manager.lease("m1") as same:
            assert same is old
        await home.manager.unload("m1")
        with pytest.raises(ModelNotFound, match="its file is gone"):
            async with home.manager.lease("m1"):
                pass


async def test_closing_ends_an_old_engine_too(tmp_path: Path, follow: Follow) -> None:
    async with house(tmp_path, specs=[version(1)]) as home, home.manager.lease("m1"):
        follow(version(2))
        async with home.manager.lease("m1"):
            pass
        assert len(home.states()) == 2
        await home.manager.close()
        assert set(home.states().values()) <= {"unloaded"}
