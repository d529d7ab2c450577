"""The line being typed: editing, multi-line input and the history file."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input.typeahead import get_typeahead, store_typeahead
from prompt_toolkit.key_binding import KeyBindings, KeyPress, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.output.vt100 import Vt100_Output

from kolo.chat.cooked import PROMPT, unechoed

CONTINUED = "  "


class Editor:
    """Reads one message at a time from the terminal.

    Enter sends, Alt-Enter begins a new line, pasted line breaks stay in the text.
    """

    def __init__(self, history: History) -> None:
        self._session: PromptSession[str] = PromptSession(
            PROMPT,
            multiline=True,
            prompt_continuation=CONTINUED,
            history=history,
            key_bindings=_keys(),
            enable_suspend=True,
            output=_output(),
        )

    @property
    def text(self) -> str:
        """What is on the line now, also after an interrupt."""
        return self._session.default_buffer.text

    async def read(self) -> str:
        """One message. KeyboardInterrupt on Ctrl-C, EOFError on Ctrl-D on an empty line."""
        text = await self._session.prompt_async(handle_sigint=False)
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")

    def interrupt(self) -> None:
        """Do as if Ctrl-C had been typed: a SIGINT came from outside."""
        app = self._session.app
        if app.is_running:
            app.exit(exception=KeyboardInterrupt)

    @contextlib.contextmanager
    def listening(self, on_interrupt: Callable[[], None]) -> Iterator[None]:
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

        with unechoed(by_key=True), source.attach(lambda: take(source.read_keys())):
            take(get_typeahead(source))
            yield
        store_typeahead(source, [*kept, *source.flush_keys()])


def open_history(path: Path, complain: Callable[[str], None]) -> History:
    """The history in ``path``, readable by its owner alone; in memory if that cannot be had."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        os.fchmod(fd, 0o600)
        os.close(fd)
    except OSError as error:
        complain(f"what you type is not kept: {path}: {error.strerror}")
        return InMemoryHistory()
    return _KeptHistory(path, complain)


class _KeptHistory(FileHistory):
    """A history file whose failure costs the line's keeping, not the conversation."""

    def __init__(self, path: Path, complain: Callable[[str], None]) -> None:
        super().__init__(str(path))
        self._complain = complain

    def store_string(self, string: str) -> None:
        try:
            super().store_string(string)
        except OSError as error:
            self._complain(f"this line is not kept: {self.filename!r}: {error.strerror}")


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter")
    def _send(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("c-c")
    def _interrupt(event: KeyPressEvent) -> None:
        event.app.exit(exception=KeyboardInterrupt, style="class:aborting")

    return keys


def _output() -> Vt100_Output:
    output = Vt100_Output.from_pty(sys.stdout, term=os.environ.get("TERM"))
    # Asking the terminal where its cursor is serves only menus, and we have none; terminals
    # that do not answer cost a second at each prompt, slow ones put the answer into the text.
    output.enable_cpr = False
    return output
