"""What tests of ``kolo top`` share: a recorded session, a source by script, pictures of it."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
from collections.abc import AsyncGenerator, Iterable, Sequence
from pathlib import Path

from rich.console import Console
from textual.pilot import Pilot

from kolo.snapshot import Message, Snapshot, decode
from kolo.top.app.screen import Choices, TopApp
from kolo.top.session import Session, Told
from kolo.top.spans import text_of
from kolo.top.state import Scene, Status, Ui

HERE = Path(__file__).parent
SIZES = ((60, 15), (80, 24), (120, 40), (200, 60))
THEMES = ("kolo-dark", "kolo-light")


def recorded() -> list[Message]:
    """A session that was recorded: two GPUs, five engines, one of which crashed."""
    lines = gzip.decompress((HERE / "session.jsonl.gz").read_bytes()).splitlines()
    return [decode(line) for line in lines]


def last_snapshot() -> Snapshot:
    return [one for one in recorded() if isinstance(one, Snapshot)][-1]


def scene_of(told: Iterable[Told], ui: Ui | None = None, word: str = "LIVE") -> Scene:
    """A scene after ``told``, one second apart."""
    session = Session()
    for at, one in enumerate(told):
        session.take(one, float(at))
    return Scene(session.picture, ui or Ui(), Status(word=word))


class Clock:
    """Stands still unless it is moved."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Scripted:
    """Tells what it was given, then what is put, and stays silent meanwhile."""

    name = ""

    def __init__(self, told: Sequence[Told] = ()) -> None:
        self._waiting: asyncio.Queue[Told] = asyncio.Queue()
        self.asked: list[float] = []
        for one in told:
            self._waiting.put_nowait(one)

    def ask(self, interval_s: float) -> None:
        self.asked.append(interval_s)

    def put(self, *told: Told) -> None:
        for one in told:
            self._waiting.put_nowait(one)

    async def heard(self) -> None:
        """Until everything that was put has been taken."""
        async with asyncio.timeout(10):
            await self._waiting.join()

    async def told(self) -> AsyncGenerator[Told, None]:
        while True:
            yield await self._waiting.get()
            self._waiting.task_done()


def app_of(
    source: Scripted | None = None,
    ui: Ui | None = None,
    clock: Clock | None = None,
    **choices: object,
) -> TopApp:
    """The program over a script, by default the recorded session."""
    return TopApp(
        source or Scripted(recorded()),
        ui or Ui(),
        Choices(**choices),  # type: ignore[arg-type]
        now=clock or Clock(),
    )


async def settled(pilot: Pilot[None], app: TopApp) -> None:
    """Until what was told is drawn."""
    assert isinstance(app.source, Scripted)
    await app.source.heard()
    await pilot.pause()
    await pilot.pause()


def text_on(app: TopApp) -> list[str]:
    """The whole screen as text, dialogs included."""
    return _console(app).export_text(styles=False, clear=True).splitlines()


def digest_of(app: TopApp) -> str:
    """A mark of every colour and weight on the screen."""
    styled = _console(app).export_text(styles=True, clear=True)
    return hashlib.blake2b(styled.encode(), digest_size=8).hexdigest()


def _console(app: TopApp) -> Console:
    width, height = app.size
    console = Console(
        width=width,
        height=height,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        record=True,
        legacy_windows=False,
        safe_box=False,
    )
    drawn = app.screen._compositor.render_update(
        full=True, screen_stack=app._background_screens, simplify=True
    )
    console.print(drawn)
    return console


def lines_of(block: Iterable[tuple[object, ...]]) -> list[str]:
    return [text_of(line) for line in block]  # type: ignore[arg-type]
