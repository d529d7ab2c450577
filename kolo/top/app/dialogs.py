"""Dialogs over a page: help, a question, a line of text, a text to read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

CSS = """
Help, Confirm, Ask, Reader { align: center middle; background: $background 60%; }
.dialog {
    width: auto; max-width: 92%; height: auto; max-height: 92%;
    padding: 1 2; background: $surface; border: round $primary 60%;
}
.dialog .title { text-style: bold; color: $primary; margin-bottom: 1; }
.dialog .foot { color: $text-muted; margin-top: 1; }
.dialog Input { width: 58; max-width: 100%; border: none; background: $panel; height: 1;
    padding: 0 1; }
.dialog Static { width: auto; max-width: 100%; }
.dialog VerticalScroll { height: auto; max-height: 100%; width: auto; }
.ascii .dialog { border: ascii $primary 60%; }
.ascii Toast { border-left: none; padding: 1 2; }
"""


class Help(ModalScreen[None]):
    """Keys and columns; any of the leaving keys closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,enter", "dismiss", show=False),
    ]

    def __init__(self, lines: Sequence[tuple[str, str]], notes: Sequence[str]) -> None:
        super().__init__()
        self._lines = lines
        self._notes = notes

    def compose(self) -> ComposeResult:
        half = _columns(self._lines, 2 if self.app.size.width >= 110 else 1)
        with Vertical(classes="dialog"):
            yield Static("kolo top", classes="title", markup=False)
            with VerticalScroll():
                yield Static(half)
                for note in self._notes:
                    yield Static(Content(note), classes="foot")
            yield Static("Esc closes, arrows scroll", classes="foot", markup=False)


def _columns(lines: Sequence[tuple[str, str]], n: int) -> Content:
    """Keys and meanings side by side, groups kept together."""
    groups: list[list[tuple[str, str]]] = []
    for line in lines:
        if not line[0]:
            groups.append([])
        groups[-1].append(line)
    columns: list[list[tuple[str, str]]] = [[] for _ in range(n)]
    for group in groups:
        shortest = min(columns, key=len) if n > 1 else columns[0]
        shortest += [*([("", "")] if shortest else []), *group]
    height = max(map(len, columns))
    rows = []
    for at in range(height):
        parts: list[tuple[str, str] | str] = []
        for column in columns:
            key, meaning = column[at] if at < len(column) else ("", "")
            if key:
                parts += [(f"{key:>6}  ", "$primary"), f"{meaning:<44}"]
            else:
                parts.append((f"{meaning:<52}", "bold"))
        rows.append(Content.assemble(*parts).rstrip())
    return Content("\n").join(rows)


class Confirm(ModalScreen[bool]):
    """A question with a consequence: y does it, everything else does not."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", show=False),
        Binding("n,escape,q,enter", "answer(False)", show=False),
    ]

    def __init__(self, question: str, consequence: str = "") -> None:
        super().__init__()
        self._question = question
        self._consequence = consequence

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Content(self._question), classes="title")
            if self._consequence:
                yield Static(Content(self._consequence))
            yield Static("y does it    n leaves it", classes="foot", markup=False)

    def action_answer(self, yes: bool) -> None:
        self.dismiss(yes)


class Ask(ModalScreen[str | None]):
    """One line of text; None if it is left with Esc."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", show=False)]

    def __init__(self, question: str, *, hint: str = "", value: str = "") -> None:
        super().__init__()
        self._question = question
        self._hint = hint
        self._value = value

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Content(self._question), classes="title")
            yield Input(self._value, select_on_focus=False)
            if self._hint:
                yield Static(Content(self._hint), classes="foot")

    def on_mount(self) -> None:
        field = self.query_one(Input)
        field.cursor_blink = False
        field.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value.strip())

    def action_leave(self) -> None:
        self.dismiss(None)


class Reader(ModalScreen[None]):
    """A text of some lines, such as what is known of a model."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter", "dismiss", show=False)]

    def __init__(self, title: str, lines: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._title = title
        self._lines = lines

    def compose(self) -> ComposeResult:
        wide = max((len(name) for name, _ in self._lines), default=0)
        rows = [
            Content.assemble((f"{name:<{wide}}  ", "$text-muted"), value)
            for name, value in self._lines
        ]
        with Vertical(classes="dialog"):
            yield Static(Content(self._title), classes="title")
            with VerticalScroll():
                yield Static(Content("\n").join(rows))
            yield Static("Esc closes", classes="foot", markup=False)
