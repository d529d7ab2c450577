"""The other pages: what they are filled with, and their keys."""

from __future__ import annotations

from typing import Any

from kolo.errors import KoloError
from kolo.logfile import Follower, find_logs
from kolo.top.app.base import Parts
from kolo.top.app.dialogs import Reader
from kolo.top.history import AGAIN_S, fetch, wanted_span
from kolo.top.logs import found
from kolo.top.panels.detail import chosen_engine
from kolo.top.panels.pages import LogsPage, ModelsPage, model_rows, setting_rows
from kolo.top.spans import clean


class Pages(Parts):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.models_page = ModelsPage()
        self.logs_page = LogsPage()
        self._follower: Follower | None = None
        self._fetched = ("", "", 0.0)

    def begin_page(self) -> None:
        """Fill the page that is turned to."""
        if self.ui.page == "models":
            self.fetch_models()
        elif self.ui.page == "logs":
            self._find_logs()

    def page_keys(self) -> list[str]:
        """The keys of the rows of the page."""
        scene = self.scene()
        if self.ui.page == "models":
            return [row.key for row in model_rows(self.models_page, scene)]
        return [row.key for row in setting_rows(self.choices.settings, scene)]

    # Models ------------------------------------------------------------------------------

    def fetch_models(self) -> None:
        self.run_worker(self._fetch_models(), exclusive=True, group="models")

    async def _fetch_models(self) -> None:
        page, actions = self.models_page, self.actions()
        if actions is None:
            page.trouble = "the server's HTTP address is not known yet: --url names it"
        else:
            try:
                page.models = await actions.models()
                page.can_pull = await actions.can_pull()
                page.trouble = ""
            except KoloError as error:
                page.trouble = error.message
        self.repaint()

    def show_model(self) -> None:
        model = self.ui.cursor.get("models", "")
        if model:
            self.run_worker(self._show_model(model), exclusive=True, group="show")

    async def _show_model(self, model: str) -> None:
        actions = self.actions()
        if actions is None:
            return
        try:
            told = await actions.about(model)
        except KoloError as error:
            self.notify(error.message, severity="error", timeout=8)
            return
        self.push_screen(Reader(clean(model), [*_flat(told)]))

    # Logs --------------------------------------------------------------------------------

    def _find_logs(self) -> None:
        page = self.logs_page
        if self.choices.logs is None:
            page.trouble = "logs are files of the server's machine, which this is not"
            return
        logs = find_logs(self.choices.logs)
        page.engines = list(logs)
        chosen = page.engine or self.ui.cursor.get("engines", "")
        page.engine = chosen if chosen in logs else next(iter(logs), "")
        page.trouble = "" if logs else f"no log in {self.choices.logs}"
        self._follow(logs.get(page.engine))

    def _follow(self, path: Any) -> None:
        if path is None:
            self._follower = None
            self.logs_page.lines = []
        elif self._follower is None or self._follower.path != path:
            self._follower = Follower(path)
        self.read_log()

    def read_log(self) -> None:
        """What has been written since."""
        if self._follower is None:
            return
        if self._follower.read():
            page = self.logs_page
            page.lines, page.trouble = self._follower.lines, self._follower.trouble
            page.found = found(page.lines, page.wanted)
            self.repaint()

    def next_log(self, by: int) -> None:
        page = self.logs_page
        if page.engines:
            at = page.engines.index(page.engine)
            page.engine = page.engines[(at + by) % len(page.engines)]
            page.follows, page.match, page.found = True, -1, []
            self._find_logs()
            self.search_log(page.wanted)

    def scroll_log(self, by: int) -> None:
        page = self.logs_page
        room = self._log_room
        end = len(page.lines) if page.follows else page.end
        page.end = max(min(end + by, len(page.lines)), min(room, len(page.lines)))
        page.follows = page.end >= len(page.lines) and by > 0
        self.repaint()

    def action_follow(self) -> None:
        if self.ui.page == "logs":
            self.logs_page.follows = not self.logs_page.follows
            self.logs_page.end = len(self.logs_page.lines)
            self.repaint()

    def search_log(self, wanted: str) -> None:
        """Go to the last place where it is; an empty search shows all as it is."""
        page = self.logs_page
        page.wanted = wanted
        page.found = found(page.lines, wanted)
        page.match = len(page.found) - 1
        self._show_match()

    def action_next_match(self, by: int) -> None:
        page = self.logs_page
        if self.ui.page == "logs" and page.found:
            page.match = (page.match + by) % len(page.found)
            self._show_match()

    def _show_match(self) -> None:
        page = self.logs_page
        if page.found and page.match >= 0:
            page.follows = False
            page.end = min(page.found[page.match] + self._log_room // 2, len(page.lines))
        self.repaint()

    @property
    def _log_room(self) -> int:
        return max(self.canvas.size.height - 4, 1)

    # History -----------------------------------------------------------------------------

    def fetch_history(self) -> None:
        """What the server remembers of the time before, for a range beyond what was seen; again
        for another engine, and each minute."""
        if wanted_span(self.ui.range) is None or self.actions() is None:
            return
        engine = chosen_engine(self.scene())
        name, id, at_s = self._fetched
        same = (name, id) == (self.ui.range, engine.id if engine is not None else "")
        if not same or self.now() - at_s > AGAIN_S:
            self.run_worker(self._fetch_history(), exclusive=True, group="history")

    async def _fetch_history(self) -> None:
        actions, span_s = self.actions(), wanted_span(self.ui.range)
        if actions is None or span_s is None:
            return
        try:
            engine = chosen_engine(self.scene())
            id = engine.id if engine is not None else ""
            self._fetched = (self.ui.range, id, self.now())
            points = await fetch(actions.url, self.session.picture, span_s, id)
        except KoloError as error:
            self.notify(f"no history: {error.message}", severity="warning", timeout=4)
            return
        self.session.picture.history = points
        self.repaint()


def _flat(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested values as lines with dotted names; empty ones left out."""
    lines = []
    for name, one in value.items():
        if isinstance(one, dict):
            lines += _flat(one, f"{prefix}{name}.")
        elif one not in (None, "", []):
            lines.append((f"{prefix}{name}", clean(str(one))))
    return lines
