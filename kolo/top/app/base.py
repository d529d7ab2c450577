"""What the parts of the program use of each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.app import App

from kolo.top.actions import Actions
from kolo.top.app.dialogs import Ask
from kolo.top.panels.pages import LogsPage, ModelsPage
from kolo.top.recording import Recorder
from kolo.top.session import Session
from kolo.top.sources.base import Source
from kolo.top.sources.replay import Replay
from kolo.top.state import Scene, Ui

if TYPE_CHECKING:
    from kolo.top.app.canvas import Canvas
    from kolo.top.app.screen import Choices


class Parts(App[None]):
    """Attributes that ``TopApp`` has, for the classes it is put together from."""

    source: Source
    ui: Ui
    choices: Choices
    session: Session
    recorder: Recorder | None
    replay: Replay | None
    now: Callable[[], float]
    models_page: ModelsPage
    logs_page: LogsPage
    canvas: Canvas

    def ask(
        self, question: str, use: Callable[[str], None], *, hint: str = "", value: str = ""
    ) -> None:
        """A line of text for ``use``, unless the dialog is left."""

        def done(text: str | None) -> None:
            if text is not None:
                use(text)

        self.push_screen(Ask(question, hint=hint, value=value), done)

    def repaint(self) -> None:
        raise NotImplementedError

    def scene(self) -> Scene:
        raise NotImplementedError

    def actions(self) -> Actions | None:
        raise NotImplementedError

    def hold(self, on: bool) -> None:
        raise NotImplementedError
