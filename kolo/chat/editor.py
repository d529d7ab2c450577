"""The line being typed: editing, several lines, completion, the toolbar below."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import AsyncGenerator, Callable, Iterator

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import History
from prompt_toolkit.input.typeahead import get_typeahead, store_typeahead
from prompt_toolkit.key_binding import KeyBindings, KeyPress, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.styles import Style

from kolo.chat.completion import Complete, Completed
from kolo.chat.cooked import PROMPT, unechoed
from kolo.chat.lines import Aside, unfinished

CONTINUED = "  "
_STYLE = Style.from_dict(
    {"bottom-toolbar": "noreverse", "bottom-toolbar.text": "fg:ansibrightblack"}
)


class Editor:
    """Reads one message at a time from the terminal.

    Enter sends, Alt-Enter begins a new line, pasted line breaks stay in the text. ``toolbar``
    says what stands below, ``complete`` what Tab offers.
    """

    def __init__(
        self,
        history: History,
        *,
        toolbar: Callable[[], str] | None = None,
        complete: Complete | None = None,
    ) -> None:
        self._session: PromptSession[str] = PromptSession(
            PROMPT,
            multiline=True,
            prompt_continuation=CONTINUED,
            history=history,
            enable_history_search=True,
            key_bindings=_keys(),
            enable_suspend=True,
            completer=None if complete is None else _Tab(complete),
            bottom_toolbar=toolbar,
            style=_STYLE,
            tempfile_suffix=".md",
            output=_output(),
        )

    @property
    def text(self) -> str:
        """What is on the line now, also after an interrupt."""
        return self._session.default_buffer.text

    async def read(self, begin: str = "") -> str:
        """One message; the line begins with ``begin``.

        KeyboardInterrupt on Ctrl-C, EOFError on Ctrl-D on an empty line.
        """
        text = await self._session.prompt_async(default=begin, handle_sigint=False)
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")

    def interrupt(self) -> bool:
        """Do as if Ctrl-C had been typed: a SIGINT came from outside. False if nobody types."""
        app = self._session.app
        if not app.is_running or app.is_done:
            return False
        app.exit(exception=KeyboardInterrupt)
        return True

    @contextlib.contextmanager
    def listening(self, on_interrupt: Callable[[], None], aside: Aside) -> Iterator[None]:
        """While an answer is shown: keys do not appear in it, and wait for the next line.

        ``on_interrupt`` is called for a Ctrl-C that was typed before the terminal had left the
        editor's mode; from then on it is a SIGINT.
        """
        source = self._session.input
        kept: list[KeyPress] = []

        def take(keys: list[KeyPress]) -> None:
            kept.extend(key for key in keys if key.key != Keys.ControlC)
            if any(key.key == Keys.ControlC for key in keys):
                on_interrupt()

        with unechoed(aside, by_key=True), source.attach(lambda: take(source.read_keys())):
            take(get_typeahead(source))
            yield
        store_typeahead(source, [*kept, *source.flush_keys()])


class _Tab(Completer):
    """Hands prompt_toolkit what ``complete`` finds."""

    def __init__(self, complete: Complete) -> None:
        self._complete = complete

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterator[Completion]:
        return iter(())

    async def get_completions_async(
        self, document: Document, complete_event: CompleteEvent
    ) -> AsyncGenerator[Completion, None]:
        for found in await self._complete(document.text_before_cursor):
            yield _completion(found)


def _completion(found: Completed) -> Completion:
    return Completion(found.text, start_position=-found.replaces, display_meta=found.about)


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter")
    def _send(event: KeyPressEvent) -> None:
        if unfinished(event.current_buffer.text):
            event.current_buffer.insert_text("\n")
        else:
            event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("c-g")
    def _in_editor(event: KeyPressEvent) -> None:
        event.current_buffer.open_in_editor()

    @keys.add("c-c")
    def _interrupt(event: KeyPressEvent) -> None:
        event.app.exit(exception=KeyboardInterrupt, style="class:aborting")

    return keys


class _Output(Vt100_Output):
    """A terminal of which nobody asks where its cursor is (CPR): some do not answer, which costs
    a second at each prompt, and the answer of a slow one gets into the text. What is below the
    line is drawn right below it instead of at the bottom of the window."""

    def get_rows_below_cursor_position(self) -> int:
        return 1


def _output() -> Vt100_Output:
    output = _Output.from_pty(sys.stdout, term=os.environ.get("TERM"))
    output.enable_cpr = False
    return output
