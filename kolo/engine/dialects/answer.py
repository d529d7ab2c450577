"""What the caller gets of the text: content, reasoning and calls, gathered between two takes.

Whitespace beside a marker is the family's layout and belongs to nobody; whitespace beside
text belongs to the text. So what follows a stretch of whitespace decides whether it is given
out, and it waits until then. Text that goes on after a marker is a new paragraph.
"""

from __future__ import annotations

from collections.abc import Callable
from json.encoder import encode_basestring

from kolo.engine.dialects.cursor import Cursor, Mismatch
from kolo.engine.dialects.surface import Piece
from kolo.types import Chat, Function, ToolCallDelta

PARAGRAPH = "\n\n"


def active_tools(chat: Chat) -> list[Function]:
    """The functions the model may call in this answer."""
    if chat.tool_choice == "none":
        return []
    return [tool.function for tool in chat.tools or []]


class Answer:
    """One answer under construction."""

    __slots__ = (
        "_after_marker",
        "_calls",
        "_content",
        "_fragments",
        "_gap",
        "_head",
        "_ids",
        "_parallel",
        "_reasoning",
        "_said",
        "_thought",
        "_tools",
        "_wrote_arguments",
        "cursor",
        "done",
        "n_calls",
    )

    def __init__(self, chat: Chat, ids: Callable[[], str], cursor: Cursor) -> None:
        self.cursor = cursor
        self.n_calls = 0
        self.done = False
        self._tools = {function.name: function for function in active_tools(chat)}
        self._ids = ids
        self._parallel = chat.parallel_tool_calls
        self._content = ""
        self._reasoning = ""
        self._calls: list[ToolCallDelta] = []
        self._head: tuple[str, str] | None = None
        self._fragments: list[str] = []
        self._gap = ""
        self._after_marker = False
        self._wrote_arguments = False
        self._said = False
        self._thought = False

    def take(self) -> Piece:
        """What came together since the last take."""
        self._flush()
        piece = Piece(self._content, self._reasoning, self._calls)
        self._content = self._reasoning = ""
        self._calls = []
        return piece

    # Text ---------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """Content that a marker may follow."""
        settled = self._settled(text, self._said)
        if settled:
            self._content += settled
            self._said = True

    def say_at_once(self, text: str) -> None:
        """Content that no marker can follow."""
        self.say(text)
        self.close()

    def think(self, text: str) -> None:
        settled = self._settled(text, self._thought)
        if settled:
            self._reasoning += settled
            self._thought = True

    def marker(self) -> None:
        """A marker stood here: the whitespace around it goes with it."""
        self._gap = ""
        self._after_marker = True

    def close(self, *, thinking: bool = False) -> None:
        """No marker will follow the whitespace that waits for one."""
        if self._gap:
            self._reasoning += self._gap if thinking else ""
            self._content += "" if thinking else self._gap
            self._gap = ""

    def _settled(self, text: str, resumes: bool) -> str:
        """The part of ``text`` that is certain, after what was held before it."""
        if self._after_marker:
            text = text.lstrip()
            if not text:
                return ""
            self._after_marker = False
            self._gap = PARAGRAPH if resumes else ""
        body = text.rstrip()
        if not body:
            self._gap += text
            return ""
        settled = self._gap + body if self._gap else body
        self._gap = text[len(body) :]
        return settled

    # Calls --------------------------------------------------------------------------------

    def function(self, name: str) -> Function:
        """The tool of this name; raises Mismatch if the request has none."""
        found = self._tools.get(name) or self._tools.get(name.removeprefix("functions."))
        if found is None:
            raise Mismatch
        return found

    def begin(self, name: str, call_id: str = "") -> Function:
        """A call of this tool begins, and there is no way back; Mismatch if there is none."""
        function = self.function(name)
        self.cursor.release()
        self.marker()
        self._flush()
        self._head = (call_id or self._ids(), function.name)
        self.n_calls += 1
        self._wrote_arguments = False
        return function

    def arguments(self, text: str) -> None:
        """More JSON text of the call that began last."""
        if text:
            self._wrote_arguments = True
            self._fragments.append(text)

    def end(self) -> None:
        """The call is complete."""
        if not self._wrote_arguments:
            self.arguments("{}")
        self.done = not self._parallel

    def _flush(self) -> None:
        """Put what came of the last call among the deltas."""
        if self._head or self._fragments:
            call_id, name = self._head or ("", "")
            text = "".join(self._fragments)
            self._calls.append(ToolCallDelta(self.n_calls - 1, call_id, name, text))
            self._head = None
            self._fragments.clear()


def escaped(text: str) -> str:
    """``text`` as the inside of a JSON string."""
    return encode_basestring(text)[1:-1]
