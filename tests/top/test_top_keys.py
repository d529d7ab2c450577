"""Keys and the mouse, by a pilot: what they change, and what is asked before anything is done."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from watching_top import (
    Clock,
    Scripted,
    app_of,
    last_snapshot,
    recorded,
    settled,
    text_on,
)

from kolo.snapshot import Request, Snapshot
from kolo.top.actions import Actions
from kolo.top.app.dialogs import Ask, Confirm, Help, Reader
from kolo.top.app.screen import TopApp
from kolo.top.keys import KEYS
from kolo.top.recording import Recording
from kolo.top.remembered import recall
from kolo.top.session import Link
from kolo.top.state import Ui

URL = "http://127.0.0.1:9"


class Acted:
    """Takes the place of the server's HTTP, and remembers what it was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[Any, ...]] = []
        for name in ("load", "unload", "pin", "cancel", "pull"):
            monkeypatch.setattr(Actions, name, self._taking(name))

    def _taking(self, name: str) -> Any:
        async def take(actions: Actions, *args: Any, **kwargs: Any) -> str:
            self.calls.append((name, *args, *kwargs.values()))
            return "id"

        return take


@pytest.fixture
def acted(monkeypatch: pytest.MonkeyPatch) -> Acted:
    return Acted(monkeypatch)


async def pressed(app: TopApp, *keys: str, size: tuple[int, int] = (120, 40)) -> list[str]:
    """The screen after the keys."""
    async with app.run_test(size=size, notifications=True) as pilot:
        await settled(pilot, app)
        await pilot.press(*keys)
        await settled(pilot, app)
        return text_on(app)


async def test_the_cursor_moves_and_the_detail_follows() -> None:
    app = app_of()
    lines = await pressed(app, "j", "j", "down", "k")
    assert app.ui.cursor["engines"] == "llama-3.1-70b"
    assert any("4 llama-3.1-70b idle" in line for line in lines)


async def test_the_cursor_stays_with_its_engine_when_the_order_changes() -> None:
    source = Scripted(recorded())
    app = app_of(source)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot, app)
        await pilot.press("j", "j")
        chosen = app.ui.cursor["engines"]
        last = last_snapshot()
        source.put(replace(last, engines=last.engines[::-1], uptime_s=last.uptime_s + 1))
        await settled(pilot, app)
        assert app.ui.cursor["engines"] == chosen
        source.put(replace(last, engines=last.engines[3:], uptime_s=last.uptime_s + 2))
        await settled(pilot, app)  # the chosen one is gone
        await pilot.press("j")
        assert app.ui.cursor["engines"] == last.engines[3].id


async def test_tab_goes_through_the_lists_that_are_seen() -> None:
    app = app_of()
    await pressed(app, "tab")
    assert app.ui.focus == "requests"
    app = app_of()
    await pressed(app, "6", "tab", "tab")
    assert app.ui.focus == "engines"


async def test_numbers_hide_panels_and_show_them_again() -> None:
    app = app_of()
    lines = await pressed(app, "2", "6")
    assert not any("GPUs" in line or "Events" in line for line in lines)
    app = app_of()
    lines = await pressed(app, "2", "2")
    assert any("GPUs" in line for line in lines)


async def test_sorting_goes_through_the_columns_and_turns_round() -> None:
    app = app_of()
    await pressed(app, "s", "s", "s")
    assert app.ui.sort["engines"] == "state"
    app = app_of(ui=Ui(sort={"engines": "out"}, reverse={"engines": True}))
    await pressed(app, "S")
    assert not app.ui.reverse["engines"]


async def test_a_filter_is_typed_and_escape_takes_it_away() -> None:
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot, app)
        await pilot.press("slash", *"gemma", "enter")
        assert app.ui.filter["engines"] == "gemma"
        await pilot.pause()
        assert not any("nomic" in line for line in text_on(app)[9:16])
        await pilot.press("escape")
        assert not app.ui.filter.get("engines")
        await pilot.press("slash", "x", "escape")  # left: nothing changes
        assert not app.ui.filter.get("engines")


async def test_pause_holds_the_screen_and_goes_on_with_the_newest() -> None:
    source = Scripted(recorded())
    app = app_of(source)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot, app)
        await pilot.press("space")
        last = last_snapshot()
        for n in range(3):
            source.put(replace(last, running=40 + n, uptime_s=last.uptime_s + 1 + n))
        await settled(pilot, app)
        held = text_on(app)
        assert "PAUSED" in held[0]
        assert "run  1" in held[1]
        await pilot.press("space")
        await settled(pilot, app)
        assert "LIVE" in text_on(app)[0]
        assert "run 42" in text_on(app)[1]


async def test_the_pace_is_asked_of_the_source() -> None:
    source = Scripted(recorded())
    app = app_of(source)
    await pressed(app, "plus", "plus", "minus")
    assert source.asked == [0.5, 0.25, 0.5]
    assert app.ui.interval_s == 0.5


async def test_enter_shows_one_engine_in_full_and_escape_goes_back() -> None:
    app = app_of()
    lines = await pressed(app, "j", "enter")
    assert app.ui.zoomed
    assert not any("3 Engines" in line for line in lines)
    app = app_of()
    await pressed(app, "j", "enter", "escape")
    assert not app.ui.zoomed


async def test_help_says_every_key_and_is_closed_by_the_usual_ones() -> None:
    for key in ("escape", "q", "question_mark"):
        app = app_of()
        async with app.run_test(size=(120, 60)) as pilot:
            await settled(pilot, app)
            await pilot.press("question_mark")
            assert isinstance(app.screen, Help)
            await pilot.press(key)
            assert not isinstance(app.screen, Help)


def test_no_key_has_two_meanings() -> None:
    keys = [key for one in KEYS for key in one.keys.split(",")]
    assert len(keys) == len(set(keys))
    assert all(hasattr(TopApp, f"action_{one.action.partition('(')[0]}") for one in KEYS)


async def test_the_palette_has_every_command() -> None:
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot, app)
        titles = [one.title for one in app.get_system_commands(app.screen)]
        assert "Load a model" in titles
        assert "Theme: kolo-light" in titles
        await pilot.press("colon")
        await pilot.pause()
        await pilot.press(*"theme: kolo-light", "enter")
        await pilot.pause(0.2)
        assert app.theme == "kolo-light"


# Acting ----------------------------------------------------------------------------------


async def test_unload_asks_first_and_no_is_no(acted: Acted) -> None:
    app = app_of(url=URL)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot, app)
        await pilot.press("j", "u")
        assert isinstance(app.screen, Confirm)
        await pilot.press("n")
        await pilot.press("u", "enter")  # what is pressed without thinking does nothing
        assert acted.calls == []
        await pilot.press("u", "y")
        await pilot.pause()
        assert acted.calls == [("unload", "qwen3-8b", True)]


async def test_unload_of_an_idle_engine_forces_nothing(acted: Acted) -> None:
    await pressed(app_of(url=URL), "j", "j", "u", "y")
    assert acted.calls == [("unload", "llama-3.1-70b", False)]


async def test_pin_turns_into_unpin(acted: Acted) -> None:
    await pressed(app_of(url=URL), "j", "p", "y")
    await pressed(app_of(url=URL), "j", "j", "p", "y")
    assert acted.calls == [("pin", "qwen3-8b", False), ("pin", "llama-3.1-70b", True)]


async def test_cancel_is_of_the_chosen_request_even_if_it_has_moved(acted: Acted) -> None:
    source = Scripted(recorded())
    app = app_of(source, url=URL)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot, app)
        await pilot.press("tab", "j", "x")
        last = last_snapshot()
        newer = Request(id=1, engine="qwen3-8b", age_s=900.0)
        source.put(replace(last, requests=[newer, *last.requests], uptime_s=last.uptime_s + 1))
        await settled(pilot, app)
        await pilot.press("y")
        await pilot.pause()
    assert acted.calls == [("cancel", "qwen3-8b", last.requests[0].id)]


async def test_load_takes_a_name(acted: Acted) -> None:
    app = app_of(url=URL)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot, app)
        await pilot.press("L")
        assert isinstance(app.screen, Ask)
        await pilot.press(*"qwen", "enter")
        await pilot.pause()
        await pilot.press("L", "enter")  # nothing typed: nothing done
        await pilot.pause()
    assert acted.calls == [("load", "qwen")]


async def test_readonly_has_no_way_to_act(acted: Acted) -> None:
    app = app_of(ui=Ui(readonly=True), url=URL)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot, app)
        await pilot.press("j", "u", "y", "p", "y", "L", "tab", "j", "x", "y", "P")
        await pilot.pause()
        titles = [one.title for one in app.get_system_commands(app.screen)]
        text = text_on(app)
    assert acted.calls == []
    assert "Load a model" not in titles
    assert "unload" not in text[-1]


async def test_a_refusal_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    app = app_of(url=URL)  # nobody listens there
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await settled(pilot, app)
        await pilot.press("j", "u", "y")
        async with asyncio.timeout(20):
            while not any("no server answers" in line for line in text_on(app)):
                await pilot.pause(0.02)


async def test_without_an_address_it_says_what_is_missing(acted: Acted) -> None:
    lines = await pressed(app_of(), "j", "u", "y")
    assert acted.calls == []
    assert any("address is not known" in line for line in lines)


# Pages, files ----------------------------------------------------------------------------


async def test_logs_are_followed_and_searched(tmp_path: Path) -> None:
    log = tmp_path / "qwen.log"
    log.write_text("".join(f"line {n}\n" for n in range(500)) + "Error: bad\nlast\n")
    app = app_of(logs=tmp_path)
    async with app.run_test(size=(100, 30)) as pilot:
        await settled(pilot, app)
        await pilot.press("l")
        await settled(pilot, app)
        assert any("last" in line for line in text_on(app))
        with log.open("a") as file:
            file.write("newest\n")
        app.read_log()
        await settled(pilot, app)
        assert any("newest" in line for line in text_on(app))
        await pilot.press("slash", *"line 17", "enter")
        await settled(pilot, app)
        assert len(app.logs_page.found) == 11
        assert any("line 179" in line for line in text_on(app))
        await pilot.press("n", "escape", "up", "F")
        assert app.logs_page.follows


async def test_models_are_shown_and_one_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    from kolo.top.actions import ModelFile, ModelStatus, ModelView

    async def models(actions: Actions) -> list[ModelView]:
        file = ModelFile(n_params=8_000_000_000, size_bytes=5_000_000_000, quant="Q4_K_M")
        loaded = ModelStatus(value="loaded")
        return [
            ModelView(id="qwen", status=loaded, file=file),
            ModelView(id="\x1b[31mred", aliases=["r"], source="config"),
        ]

    async def about(actions: Actions, model: str) -> dict[str, Any]:
        return {"engine_id": model, "parameters": {"n_ctx": 4096}, "none": None}

    async def can_pull(actions: Actions) -> bool:
        return False

    for name, made in (("models", models), ("about", about), ("can_pull", can_pull)):
        monkeypatch.setattr(Actions, name, made)
    app = app_of(url=URL)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot, app)
        await pilot.press("m")
        await pilot.pause()
        await settled(pilot, app)
        text = "\n".join(text_on(app))
        assert "8.0B" in text
        assert "·[31mred" in text
        await pilot.press("j", "enter")
        await pilot.pause()
        assert isinstance(app.screen, Reader)
        assert any("parameters.n_ctx  4096" in line for line in text_on(app))


async def test_a_recording_is_begun_and_ended(tmp_path: Path) -> None:
    source = Scripted(recorded())
    app = app_of(source, recordings=tmp_path / "recordings")
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot, app)
        await pilot.press("r")
        last = last_snapshot()
        source.put(replace(last, uptime_s=last.uptime_s + 1))
        await settled(pilot, app)
        assert "REC" in text_on(app)[0]
        await pilot.press("r")
    made = list((tmp_path / "recordings").iterdir())
    recording = Recording(made[0])
    assert [type(one).__name__ for one in recording.messages()] == ["Hello", "Snapshot"]


async def test_the_layout_is_kept_when_it_is_left(tmp_path: Path) -> None:
    memory = tmp_path / "top.json"
    app = app_of(memory=memory)
    await pressed(app, "6", "g", "t", "q")
    kept = recall(memory)
    assert (kept.hidden, kept.range, kept.theme) == (["events"], "15m", "kolo-light")


# Sizes, lines that break -----------------------------------------------------------------


async def test_resized_wildly_it_is_always_whole() -> None:
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot, app)
        for width, height in ((1, 1), (200, 60), (59, 14), (60, 15), (300, 8), (20, 90), (80, 24)):
            await pilot.resize_terminal(width, height)
            await pilot.pause()
            await pilot.pause()
            assert len(app.canvas.shown) == height
        assert "LIVE" in text_on(app)[0]


async def test_too_small_says_so_and_q_leaves() -> None:
    lines = await pressed(app_of(), size=(40, 10))
    assert any("60x15" in line for line in lines)
    app = app_of()
    await pressed(app, "q", size=(40, 10))
    assert app.return_code == 0


async def test_a_source_that_dies_leaves_the_last_values_and_comes_back() -> None:
    source, clock = Scripted(recorded()), Clock()
    app = app_of(source, clock=clock)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot, app)
        before = text_on(app)
        source.put(Link(state="stale", detail="it went away", retry_s=2.0))
        clock.now_s += 12.0
        await settled(pilot, app)
        stale = text_on(app)
        assert "STALE 12s" in stale[0]
        assert stale[3:-1] == before[3:-1]
        last = last_snapshot()
        source.put(replace(last, running=33, uptime_s=1.0))
        await settled(pilot, app)
        assert "LIVE" in text_on(app)[0]
        assert "run 33" in text_on(app)[1]


async def test_clicks_choose_sort_and_turn_pages() -> None:
    app = app_of()
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot, app)
        for kind, key in (("row", "gemma-3-4b-it"), ("sort", "out"), ("page", "config")):
            zone = next(one for one in app.canvas.zones if (one.kind, one.key) == (kind, key))
            await pilot.click(offset=(zone.x, zone.y))
            await settled(pilot, app)
        assert app.ui.cursor["engines"] == "gemma-3-4b-it"
        assert (app.ui.sort["engines"], app.ui.reverse["engines"]) == ("out", True)
        assert app.ui.page == "config"


async def test_only_what_changed_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Scripted(recorded())
    app = app_of(source)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot, app)
        drawn: list[Any] = []
        monkeypatch.setattr(app.canvas, "refresh", lambda *regions, **_: drawn.append(regions))
        last = next(one for one in reversed(recorded()) if isinstance(one, Snapshot))
        source.put(replace(last, running=2))
        await settled(pilot, app)
    regions = [region for each in drawn for region in each]
    assert {region.y for region in regions} == {1, 28}  # the summary, the title of the requests
    assert all(region.width < 12 for region in regions)
