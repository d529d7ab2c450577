"""The program: messages in, pictures out, keys to what they mean."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from kolo.errors import KoloError
from kolo.snapshot import Snapshot
from kolo.top.app import dialogs
from kolo.top.app.canvas import Canvas
from kolo.top.app.moving import Moving
from kolo.top.app.palette import DARK, LIGHT, Palette
from kolo.top.dashboard import page_around, paint_dashboard
from kolo.top.keys import KEYS
from kolo.top.panels.frame import Painted
from kolo.top.panels.pages import paint_logs, paint_models, paint_settings
from kolo.top.recording import Recorder
from kolo.top.remembered import keep
from kolo.top.session import Link, Picture, Rewind, Session, Told
from kolo.top.sources.base import Source
from kolo.top.sources.replay import Replay
from kolo.top.state import Scene, Ui
from kolo.top.status import status_of

THEMES = (
    "kolo-dark",
    "kolo-light",
    "nord",
    "gruvbox",
    "solarized-light",
    "ansi-dark",
    "ansi-light",
)
"""Those that ``t`` goes through; the palette has all."""
BEAT_S = 1.0
"""How often an age is counted on while nothing is heard."""


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What the command line decided."""

    theme: str = ""
    colour: bool = True
    url: str = ""
    """Where the server's HTTP is, if the person said so; else where it says itself."""
    memory: Path | None = None
    """Where the layout is kept; None keeps it nowhere."""
    recordings: Path | None = None
    logs: Path | None = None
    """Folder of the engines' logs; None where the server is on another machine."""
    follow_url: bool = True
    """Whether the address that the server tells is of this machine."""
    settings: Sequence[tuple[str, str, str]] = ()
    """Key, value and origin of each."""


class TopApp(Moving):
    """``kolo top`` over any source."""

    TITLE = "kolo top"
    CSS = "Screen { layout: vertical; overflow: hidden; }" + dialogs.CSS
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "ctrl+p"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(key.keys, key.action, key.meaning, show=False, priority=key.keys == "tab")
        for key in KEYS
    ]

    def __init__(
        self,
        source: Source,
        ui: Ui,
        choices: Choices,
        *,
        recorder: Recorder | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(ansi_color=None if choices.colour else True)
        self.source = source
        self.ui = ui
        self.choices = choices
        self.session = Session()
        self.recorder = recorder
        self.now = now
        self.replay = source if isinstance(source, Replay) else None
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        wanted = choices.theme if choices.theme in self.available_themes else "kolo-dark"
        self.theme = wanted if choices.colour else "ansi-dark"
        self._palette = Palette(self.current_theme, colour=choices.colour)
        self.canvas = Canvas(self._palette)
        self.failure: KoloError | None = None
        """Why the screen was left, if it was not for the person's wish."""
        self._held: Picture | None = None
        """What a paused screen holds on to."""
        self._coming = False

    def compose(self) -> ComposeResult:
        yield self.canvas

    def on_mount(self) -> None:
        self.canvas.focus()
        self.set_class(self.ui.ascii, "ascii")
        self.theme_changed_signal.subscribe(self, lambda theme: self._recolour())
        self.set_interval(BEAT_S, self._beat)
        self.begin_page()
        for number in (signal.SIGTERM, signal.SIGHUP):  # else the terminal would stay as it is
            asyncio.get_running_loop().add_signal_handler(number, self._stop, number)
        self.run_worker(self._listen(), name="listen", exclusive=True, group="listen")

    def _stop(self, number: int) -> None:
        self.exit(return_code=128 + number)

    # What comes in -----------------------------------------------------------------------

    async def _listen(self) -> None:
        try:
            told_by: AsyncGenerator[Told, None] = self.source.told()
            async with aclosing(told_by) as stream:
                async for told in stream:
                    self.take(told)
        except KoloError as error:  # a mistake in what was asked for; the screen has no answer
            self.failure = error
            self.exit(return_code=error.exit_code)

    def take(self, told: Told) -> None:
        self.session.take(told, self.now())
        if self.recorder is not None:
            self._record(self.recorder, told)
        if isinstance(told, Link) and told.note:
            self.notify(told.note, severity="warning", timeout=10)
        if isinstance(told, (Snapshot, Link, Rewind)):
            self.repaint()

    def _record(self, recorder: Recorder, told: Told) -> None:
        try:
            recorder.take(told)
        except OSError as error:
            self.recorder = None
            recorder.close()
            reason = error.strerror or str(error)
            self.notify(f"recording ended: {reason}", severity="error", timeout=10)

    def _beat(self) -> None:
        """Ages go on while nothing is heard, and only then is there anything to draw."""
        if self.session.link.state != "live" or self.session.is_stale(
            self.now(), self.ui.interval_s
        ):
            self.repaint()
        if self.ui.page == "logs":
            self.read_log()
        elif self.ui.page == "dashboard":
            self.fetch_history()

    # What is shown -----------------------------------------------------------------------

    def scene(self) -> Scene:
        status = status_of(
            self.session,
            self.ui,
            self.now(),
            name=self.source.name,
            replay=self.replay,
            recording=self.recorder is not None,
        )
        return Scene(self._held or self.session.picture, self.ui, status)

    def hold(self, on: bool) -> None:
        """Keep the picture as it is, or go on with what has come meanwhile."""
        self._held = self.session.picture.copy() if on else None

    def repaint(self) -> None:
        """Draw once, however much came in one go."""
        if not self._coming:
            self._coming = True
            self.call_next(self._paint)

    def _paint(self) -> None:
        self._coming = False
        size = self.canvas.size
        if size.width and size.height:
            self.canvas.show(self.painted(size.width, size.height))

    def painted(self, width: int, height: int) -> Painted:
        scene = self.scene()
        inner = height - 2
        match self.ui.page:
            case "dashboard":
                return paint_dashboard(scene, width, height)
            case "models":
                content = paint_models(self.models_page, scene, width, inner)
            case "config":
                content = paint_settings(self.choices.settings, scene, width, inner)
            case "logs":
                content = paint_logs(self.logs_page, scene, width, inner)
        return page_around(scene, content, width, height)

    def on_canvas_resized(self) -> None:
        self.repaint()

    def _recolour(self) -> None:
        self._palette = Palette(self.current_theme, colour=self.choices.colour)
        self.canvas.paint_with(self._palette)

    # Commands ----------------------------------------------------------------------------

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        for key in KEYS:
            if key.acts and self.ui.readonly:
                continue
            if key.group not in ("Move",):
                yield SystemCommand(
                    key.meaning.capitalize(),
                    f"key {key.shown}",
                    lambda action=key.action: self.call_later(self.run_action, action),
                )
        for theme in sorted(self.available_themes):
            yield SystemCommand(
                f"Theme: {theme}", "colours", lambda name=theme: setattr(self, "theme", name)
            )

    def action_next_theme(self) -> None:
        at = THEMES.index(self.theme) if self.theme in THEMES else -1
        self.theme = THEMES[(at + 1) % len(THEMES)]
        self.notify(self.theme, timeout=2)

    async def action_quit(self) -> None:
        if self.choices.memory is not None:
            keep(self.choices.memory, self.ui, self.theme if self.choices.colour else "")
        self.exit()
