"""Keys that change what is looked at, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from kolo.top import words
from kolo.top.app.acting import Acting
from kolo.top.app.canvas import Canvas
from kolo.top.app.dialogs import Help
from kolo.top.dashboard import visible_lists
from kolo.top.engine_rows import ENGINES
from kolo.top.keys import help_lines
from kolo.top.panels.lists import COLUMNS, rows_of
from kolo.top.recording import Recorder, new_path
from kolo.top.request_rows import REQUESTS
from kolo.top.state import PAGES, STATES
from kolo.top.table import choose

_MEANINGS = (
    "OUT/s and IN/s are tokens over the last 5 seconds; TTFT, ITL and REQ/m over the last "
    f"minute, with n values. {words.NOTHING} means that nothing ran, n/a that it is not known.",
)
_ARROWS = str.maketrans({"↑": "Up", "↓": "Dn", "←": "Left", "→": "Right"})


class Moving(Acting):
    # Lists -------------------------------------------------------------------------------

    def action_move(self, by: int) -> None:
        if self.ui.page == "logs":
            self.scroll_log(by)
        elif self.ui.page in ("models", "config"):
            self._move_in(self.ui.page, self.page_keys(), by)
        else:
            self._settle_focus()
            self.ui.move(rows_of(self.ui.focus, self.scene()).keys, by)
        self.repaint()

    def _move_in(self, panel: str, keys: Sequence[str], by: int) -> None:
        focus, self.ui.focus = self.ui.focus, panel
        self.ui.move(keys, by)
        self.ui.focus = focus

    def action_next_panel(self, by: int) -> None:
        if self.ui.page == "logs":
            self.next_log(by)
            return
        lists = self._settle_focus()
        if lists:
            at = lists.index(self.ui.focus)
            self.ui.focus = lists[(at + by) % len(lists)]
        self.repaint()

    def _settle_focus(self) -> list[str]:
        """The lists that are to be seen; the focus is in one of them afterwards."""
        lists = visible_lists(self.scene(), *self.canvas.size)
        if lists and self.ui.focus not in lists:
            self.ui.focus = lists[0]
        return lists

    def action_open(self) -> None:
        if self.ui.page == "models":
            self.show_model()
            return
        if self.ui.page != "dashboard":
            return
        if self.ui.focus == "requests" and not self.ui.zoomed:
            engine = self.ui.cursor.get("requests", "").partition("\n")[0]
            if engine:
                self.ui.cursor["engines"] = engine
        self.ui.zoomed = not self.ui.zoomed
        self.repaint()

    def action_leave(self) -> None:
        """One step: out of the detail, then the filter, then the state, then the page."""
        ui = self.ui
        panel = ui.focus if ui.page == "dashboard" else ui.page
        if ui.zoomed:
            ui.zoomed = False
        elif ui.page == "logs" and self.logs_page.wanted:
            self.search_log("")
        elif ui.filter.get(panel) or ui.state.get(panel):
            ui.filter.pop(panel, None)
            ui.state.pop(panel, None)
        elif ui.page != "dashboard":
            self.action_page("dashboard")
        self.repaint()

    def action_toggle_panel(self, panel: str) -> None:
        if self.ui.page == "dashboard":
            self.ui.toggle(panel)
            self._settle_focus()
            self.repaint()

    def action_sort(self, by: int) -> None:
        """The next of the columns that are to be seen; after the last, as they come."""
        if self.ui.page != "dashboard" or self.ui.focus not in ("engines", "requests"):
            return
        columns = ENGINES if self.ui.focus == "engines" else REQUESTS
        keys = ["", *(p.column.key for p in choose(columns, self.canvas.size.width))]
        now = self.ui.sort.get(self.ui.focus, "")
        at = keys.index(now) if now in keys else 0
        self._sort_by(self.ui.focus, keys[(at + by) % len(keys)])

    def _sort_by(self, panel: str, key: str) -> None:
        """Numbers begin with the largest, names with A."""
        numbers = {column.key for column in COLUMNS[panel] if column.number}
        self.ui.sort[panel] = key
        self.ui.reverse[panel] = key in numbers
        self.repaint()

    def action_reverse(self) -> None:
        self.ui.reverse[self.ui.focus] = not self.ui.reverse.get(self.ui.focus, False)
        self.repaint()

    def action_filter(self) -> None:
        page = self.ui.page
        if page == "logs":
            self.ask("Search the log", self.search_log, value=self.logs_page.wanted)
            return
        if page == "dashboard":
            self._settle_focus()
        panel = self.ui.focus if page == "dashboard" else page

        def use(text: str) -> None:
            self.ui.filter[panel] = text
            self.repaint()

        hint = "every word must be in it; empty shows all"
        self.ask(f"Show {panel} with", use, hint=hint, value=self.ui.filter.get(panel, ""))

    def action_cycle_state(self) -> None:
        if self.ui.page == "dashboard" and self.ui.focus in STATES:
            self.ui.cycle_state()
            self.repaint()

    # Pages -------------------------------------------------------------------------------

    def action_page(self, page: str) -> None:
        assert page in PAGES
        self.ui.page = page
        self.begin_page()
        self.repaint()

    def action_next_page(self, by: int) -> None:
        self.action_page(PAGES[(PAGES.index(self.ui.page) + by) % len(PAGES)])

    # Time --------------------------------------------------------------------------------

    def action_pause(self) -> None:
        if self.replay is not None:
            self.replay.toggle()
        else:
            self.ui.paused = not self.ui.paused
            self.hold(self.ui.paused)
        self.repaint()

    def action_interval(self, by: int) -> None:
        if self.replay is not None:
            self.replay.faster(-by)
        else:
            self.source.ask(self.ui.step_interval(by))
        self.repaint()

    def action_seek(self, by_s: float) -> None:
        if self.replay is not None:
            self.replay.seek(by_s * max(self.replay.speed, 1.0))

    def action_range(self) -> None:
        self.ui.cycle_range()
        self.fetch_history()
        self.repaint()

    def action_record(self) -> None:
        if self.recorder is not None:
            self.recorder.close()
            self.notify(f"recorded: {self.recorder.path}", timeout=8)
            self.recorder = None
        elif self.choices.recordings is not None and self.replay is None:
            self._begin_recording()
        self.repaint()

    def _begin_recording(self) -> None:
        folder = self.choices.recordings
        assert folder is not None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.recorder = Recorder(new_path(folder), self.session.picture.hello)
        except OSError as error:
            self.notify(f"cannot record: {error.strerror}", severity="error")
        else:
            self.notify(f"recording to {self.recorder.path}", timeout=5)

    # Mouse -------------------------------------------------------------------------------

    def on_canvas_pressed(self, event: Canvas.Pressed) -> None:
        zone = event.zone
        if zone.kind == "page":
            self.action_page(zone.key)
        elif zone.kind == "sort":
            self.ui.focus = zone.panel
            if self.ui.sort.get(zone.panel) == zone.key:
                self.action_reverse()
            else:
                self._sort_by(zone.panel, zone.key)
        elif zone.kind == "row":
            again = self.ui.cursor.get(zone.panel) == zone.key and self.ui.focus == zone.panel
            self.ui.cursor[zone.panel] = zone.key
            if self.ui.page == "dashboard":
                self.ui.focus = zone.panel
            if again and zone.panel in ("engines", "models"):
                self.action_open()
        self.repaint()

    def on_canvas_wheeled(self, event: Canvas.Wheeled) -> None:
        if self.ui.page == "dashboard" and event.panel in STATES:
            self.ui.focus = event.panel
        self.action_move(3 * event.by)

    # Help --------------------------------------------------------------------------------

    def action_help(self) -> None:
        columns = [("", "Columns of engines")]
        columns += [(column.title, column.help) for column in ENGINES]
        columns += [("", "Columns of requests")]
        columns += [(column.title, column.help) for column in REQUESTS]
        lines = [*help_lines(readonly=self.ui.readonly), *columns]
        notes: Sequence[str] = _MEANINGS
        if self.ui.ascii:
            lines = [(key.translate(_ARROWS), meaning) for key, meaning in lines]
            notes = [note.replace(words.NOTHING, "-") for note in notes]
        self.push_screen(Help(lines, notes))
