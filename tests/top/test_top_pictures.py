"""Pictures of the screen from a recorded session, for each panel and state, size and theme.

Each file of ``golden`` holds what is seen as text at four sizes, and a mark of its colours for
the dark and the light theme. ``KOLO_GOLDEN=write`` writes them anew; look at the difference.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace
from watching_top import (
    HERE,
    SIZES,
    THEMES,
    Clock,
    Scripted,
    app_of,
    digest_of,
    recorded,
    settled,
    text_on,
)

from kolo.snapshot import Failure, Hello, Message, Snapshot
from kolo.top.session import Link, Told
from kolo.top.state import PANELS, Ui


@dataclass
class Shown:
    """A state: what was told, what was chosen, which keys were pressed, how much later."""

    told: Callable[[], Sequence[Told]] = recorded
    ui: Callable[[], Ui] = Ui
    keys: tuple[str, ...] = ()
    later_s: float = 0.0
    choices: dict[str, object] = field(default_factory=dict)


def changed(**fields: object) -> list[Message]:
    """The session with every snapshot changed."""
    return [replace(one, **fields) if isinstance(one, Snapshot) else one for one in recorded()]


def fifty() -> list[Message]:
    told = recorded()
    last = next(one for one in reversed(told) if isinstance(one, Snapshot))
    engines = [
        replace(last.engines[at % 5], id=f"{last.engines[at % 5].id}-{at:02d}") for at in range(50)
    ]
    return [told[0], replace(last, engines=engines)]


def hostile() -> list[Message]:
    """Names that would move the cursor, turn the writing, or are wider than they are long."""
    told = recorded()
    last = next(one for one in reversed(told) if isinstance(one, Snapshot))
    names = (
        "\x1b[2J\x1b[31mred",
        "a\nb\tc",
        "模型-名前-모델",
        "e\u0301\u202etxet\u200f",
        "x" * 300,
    )
    engines = [replace(one, id=name) for one, name in zip(last.engines, names, strict=True)]
    requests = [replace(one, user="\x07bell\x9b", engine=names[2]) for one in last.requests]
    return [told[0], replace(last, engines=engines, requests=requests)]


def failed() -> list[Message]:
    told = recorded()
    last = next(one for one in reversed(told) if isinstance(one, Snapshot))
    why = Failure(message="the worker died: signal 11", hint="Its log may say why.")
    gone = replace(last.engines[2], state="failed", stage="", progress=None, error=why)
    return [told[0], replace(last, engines=[gone])]


def only(panel: str) -> Callable[[], Ui]:
    return lambda: Ui(hidden={one for one in PANELS if one != panel})


def down(state: str, detail: str = "the server went away") -> Callable[[], list[Told]]:
    hint = "Start a server with `kolo serve`."
    return lambda: [
        *(recorded() if state == "stale" else ()),
        Link(state=state, detail=detail, hint=hint, retry_s=4.0),  # type: ignore[arg-type]
    ]


SETTINGS = (
    ("default_model", "guide", "default"),
    ("server.port", "8080", "env KOLO_SERVER_PORT"),
    ("models.qwen.path", "/srv/models/qwen.gguf", "/etc/kolo/config.toml:12"),
)
STATES: dict[str, Shown] = {
    "live": Shown(),
    **{f"only-{panel}": Shown(ui=only(panel)) for panel in PANELS},
    "no-gpu": Shown(told=lambda: changed(gpus=[])),
    "no-engines": Shown(told=lambda: changed(engines=[], requests=[], running=0)),
    "fifty-engines": Shown(told=fifty, keys=("end",)),
    "hostile-names": Shown(told=hostile),
    "detail": Shown(keys=("down", "enter")),
    "detail-loading": Shown(keys=("down", "down", "down", "enter")),
    "detail-failed": Shown(told=failed, keys=("enter",)),
    "requests-chosen": Shown(keys=("tab", "down", "down", "s")),
    "filtered": Shown(ui=lambda: Ui(filter={"engines": "qwen"}, state={"requests": "decode"})),
    "filtered-away": Shown(ui=lambda: Ui(filter={"engines": "nobody"})),
    "paused": Shown(keys=("space",)),
    "stale": Shown(told=down("stale"), later_s=2.0),
    "silent": Shown(later_s=60.0),
    "stopping": Shown(told=lambda: changed(stopping=True)),
    "no-server": Shown(told=down("missing", "no server is running"), later_s=1.0),
    "connecting": Shown(told=lambda: []),
    "readonly": Shown(ui=lambda: Ui(readonly=True)),
    "ascii": Shown(ui=lambda: Ui(ascii=True)),
    "ascii-help": Shown(ui=lambda: Ui(ascii=True), keys=("question_mark",)),
    "no-colour": Shown(choices={"colour": False}),
    "range-15m": Shown(keys=("g",)),
    "help": Shown(keys=("question_mark",)),
    "unload-asked": Shown(keys=("down", "u"), choices={"url": "http://127.0.0.1:9"}),
    "filter-asked": Shown(keys=("slash", "q", "w")),
    "config": Shown(keys=("c",), choices={"settings": SETTINGS}),
    "logs-away": Shown(keys=("l",)),
}


@pytest.mark.parametrize("name", STATES)
async def test_the_screen_looks_as_it_did(name: str) -> None:
    shown = STATES[name]
    pictures = await drawn(shown)
    file = HERE / "golden" / f"{name}.txt"
    if os.environ.get("KOLO_GOLDEN") == "write":
        file.write_text(pictures)
    assert pictures == file.read_text()


async def drawn(shown: Shown) -> str:
    """The state at each size, its colours in each theme."""
    parts = []
    for width, height in SIZES:
        clock = Clock()
        source = Scripted(shown.told())
        app = app_of(source, shown.ui(), clock, **shown.choices)
        async with app.run_test(size=(width, height)) as pilot:
            await settled(pilot, app)
            for key in shown.keys:
                await pilot.press(key)
            clock.now_s += shown.later_s
            marks = []
            for theme in THEMES:
                if shown.choices.get("colour", True):
                    app.theme = theme
                app.repaint()
                await settled(pilot, app)
                marks.append(f"{theme} {digest_of(app)}")
            lines = text_on(app)
        assert len(lines) == height
        parts.append("\n".join([f"=== {width}x{height}  {'  '.join(marks)}", *map(end, lines)]))
    return "\n".join(parts) + "\n"


def end(line: str) -> str:
    return line.rstrip() + "¶" if line.endswith(" ") else line


async def test_colours_differ_between_light_and_dark() -> None:
    app = app_of()
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot, app)
        dark = digest_of(app)
        app.theme = "kolo-light"
        await settled(pilot, app)
        assert digest_of(app) != dark


async def test_nothing_of_a_hostile_name_reaches_the_terminal() -> None:
    app = app_of(Scripted(hostile()))
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot, app)
        text = "\n".join(text_on(app))
    assert not set(text) & {"\x1b", "\x07", "\x9b", "\u202e", "\u200f"}
    assert "模型" in text


def test_the_recording_has_what_the_pictures_are_about() -> None:
    told = recorded()
    assert isinstance(told[0], Hello)
    last = next(one for one in reversed(told) if isinstance(one, Snapshot))
    assert len(last.gpus) == 2
    assert len(last.engines) == 5
    assert any(one.totals.crashes for one in last.engines)
    assert last.requests
