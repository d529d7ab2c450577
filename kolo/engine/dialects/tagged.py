"""Families that mark reasoning and calls inside one running text: nearly all of them.

A family is data: blocks of reasoning, shapes of calls, markers to leave out. Between showing
text at once and never taking any back, its reader decides so:

- A marker opens a call only if a call to one of the request's tools follows. Until the name is
  known the text is held; if it is no such call, all of it is content, the marker included.
- From then on it is a call, and its arguments are passed on as they come, put right where
  that needs no knowledge of the future. What cannot belong to the call any more is content
  again, and a call the text breaks off in stays as far as it came.
- A tag of plain text opens a block of reasoning only before any content, since an answer may
  speak of such tags.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from kolo.engine.dialects.answer import active_tools
from kolo.engine.dialects.cursor import Mismatch, Wait, finder
from kolo.engine.dialects.forced import demanded_tools, may_reason
from kolo.engine.dialects.lark import Lark, pieces_of
from kolo.engine.dialects.objects import BARE
from kolo.engine.dialects.shape import Shape
from kolo.engine.dialects.stepwise import StepwiseReader
from kolo.engine.dialects.surface import Reader, plain_reader
from kolo.types import Chat, Function


class Block(Struct, frozen=True):
    """A stretch of reasoning."""

    open: str
    close: str
    anywhere: bool = False
    """The markers are control tokens: they mean it also after content."""
    call_ends: bool = False
    """The markers of calls are control tokens: they mean it also inside the block."""
    lead: str = ""
    """A word after the opening that is no thought: Gemma 4's name of the channel."""


THINK = Block("<think>", "</think>")


class Tagged(Struct, frozen=True, kw_only=True):
    name: str
    shapes: tuple[Shape, ...]
    """What is read; of shapes with the same marker the first that fits. The first of all is
    the one a forced call is written in."""
    blocks: tuple[Block, ...] = (THINK,)
    hidden: tuple[str, ...] = ()
    """Control markers that are never content."""
    hidden_without_tools: tuple[str, ...] = ()
    """The same, where there are no tools and no shape reads them."""
    wrapper: tuple[str, str] | None = None
    """Tags that may stand around the content."""
    addressed: str = ""
    """What begins a message to a tool, with ``{name}`` in it: hidden, like the others."""
    next_message: str = ""
    """What ends one such message and begins the next."""
    before_calls: tuple[str, ...] = ()
    """What a forced call may have before it, besides a thought."""
    primer: str = ""
    """The end of the prompt, where the text cannot be read without it."""
    stops: tuple[str, ...] = ()
    short_ids: bool = False
    """Ids are of nine letters or digits."""
    native_tools: bool = True
    reasons: bool = False
    """The template knows reasoning, so a forced call may have some before it."""

    @property
    def reasoning_close(self) -> str:
        return self.blocks[0].close if self.blocks else ""

    @property
    def markers(self) -> frozenset[str]:
        literals = [*self.hidden, *self.stops, *(self.wrapper or ())]
        for block in self.blocks:
            literals += [block.open, block.close]
        for shape in self.shapes:
            literals += shape.literals
        return frozenset(piece for literal in literals for piece in pieces_of(literal))

    def opens_reasoning(self, prompt: str) -> bool:
        end = prompt.rstrip()
        return any(end.endswith((block.open + block.lead).rstrip()) for block in self.blocks)

    def reader(self, chat: Chat, *, opens_reasoning: bool, ids: Callable[[], str]) -> Reader:
        if not chat.parse:
            return plain_reader()
        make_id = (lambda: ids()[-9:]) if self.short_ids else ids
        return TaggedReader(self, chat, make_id, opens_reasoning=opens_reasoning)

    def call_grammar(self, chat: Chat, *, special: Callable[[str], int | None]) -> str | None:
        tools = demanded_tools(chat)
        if not tools:
            return None
        lark = Lark(special, self.markers)
        parts = []
        if self.reasons and self.blocks and may_reason(chat):
            parts.append(f"({lark.text(self.blocks[0].open + self.blocks[0].lead)})?")
        parts += [f"({lark.text(text)})?" for text in self.before_calls]
        if not self.addressed:
            gap = lark.add(r"/[ \n]{1,3}/", terminal=True)
            parts += [f"{gap}?", self.shapes[0].write(lark, tools, chat.parallel_tool_calls)]
            return lark.source(" ".join(parts))
        call = lark.add(lark.one_of(self._message(lark, tool) for tool in tools))
        more = f"({lark.text(self.next_message)} {call})*" if chat.parallel_tool_calls else ""
        return lark.source(" ".join([*parts, call, more]))

    def _message(self, lark: Lark, tool: Function) -> str:
        """A message to ``tool``, with one call in it."""
        address = lark.text(self.addressed.replace("{name}", tool.name))
        return f"{address} {self.shapes[0].write(lark, [tool], False)}"


class TaggedReader(StepwiseReader):
    """Reads one answer of such a family."""

    def __init__(
        self, family: Tagged, chat: Chat, ids: Callable[[], str], *, opens_reasoning: bool
    ) -> None:
        super().__init__(chat, ids)
        self._blocks = {block.open: block for block in family.blocks}
        self._wrapper = family.wrapper or ("", "")
        self._opened = family.blocks[0] if opens_reasoning and family.blocks else None
        self._gather_markers(family, chat)
        if family.primer and not chat.continue_last:
            self._cursor.push(family.primer)
        self._step()

    def _gather_markers(self, family: Tagged, chat: Chat) -> None:
        """The markers looked for in content, and those looked for before any."""
        tools = active_tools(chat)
        self._shapes: dict[str, list[Shape]] = {}
        for shape in family.shapes if tools else ():
            for marker in shape.opens:
                self._shapes.setdefault(marker, []).append(shape)
        anywhere = [block for block in family.blocks if block.anywhere]
        hidden = [*family.hidden, *family.stops, *(block.close for block in anywhere)]
        if not tools:
            hidden += family.hidden_without_tools
        if family.addressed:
            hidden += [family.addressed.replace("{name}", tool.name) for tool in tools]
        self._hidden = frozenset(hidden)
        flowing = [*self._shapes, *hidden, *(block.open for block in anywhere)]
        standing = [*flowing, *(tag for one in family.blocks for tag in (one.open, one.close))]
        self._flowing = tuple(marker for marker in dict.fromkeys(flowing) if marker != BARE)
        self._standing = tuple(filter(None, dict.fromkeys([*standing, self._wrapper[0]])))

    # What follows what --------------------------------------------------------------------

    def _read_all(self) -> Wait[None]:
        if self._opened:
            yield from self._reasoning(self._opened)
        closing = ""
        at_start = True
        while not self._answer.done:
            marker = (yield from self._next_standing()) if at_start else ""
            if not marker:
                marker = yield from self._content(closing)
            if not marker:
                break
            if marker in (self._wrapper[0], closing):
                closing = self._wrapper[1] if marker != closing else ""
                self._answer.marker()
                at_start = True
            else:
                at_start = yield from self._follow(marker)
        self._answer.close()

    def _next_standing(self) -> Wait[str]:
        """The marker that stands here, before any content; empty if there is none."""
        cursor = self._cursor
        while not (marker := (yield from cursor.accept(*self._standing))):
            char = yield from cursor.char()
            if not char.isspace():
                break
            cursor.pos += 1
            self._answer.say(char)
        return marker

    def _content(self, closing: str) -> Wait[str]:
        """Content up to the next marker; empty when the text ends first."""
        cursor = self._cursor
        markers = (*self._flowing, closing) if closing else self._flowing
        if markers:
            return (yield from cursor.until(finder(markers), self._answer.say))
        while True:
            text = cursor.text[cursor.pos :]
            cursor.pos += len(text)
            self._answer.say_at_once(text)
            if cursor.ended:
                return ""
            yield

    def _follow(self, marker: str) -> Wait[bool]:
        """What a marker announces; True if it did not prove to be content."""
        if marker in self._blocks:
            yield from self._reasoning(self._blocks[marker])
        elif marker in self._shapes:
            return (yield from self._calls(marker))
        else:
            self._answer.marker()
        return True

    def _reasoning(self, block: Block) -> Wait[None]:
        cursor, answer = self._cursor, self._answer
        self.reasoning_open = True
        answer.marker()
        while (yield from cursor.accept(block.open)):
            pass
        if block.lead:
            yield from cursor.accept(block.lead)
        calls = [marker for marker in self._shapes if marker != BARE] if block.call_ends else []
        marker = yield from cursor.until(finder((block.close, *calls)), answer.think)
        if not marker:
            answer.close(thinking=True)
            return
        self.reasoning_open = False
        answer.marker()
        if marker != block.close:
            yield from self._calls(marker)

    def _calls(self, marker: str) -> Wait[bool]:
        """The calls after this marker; False if there are none and it was content."""
        cursor, answer = self._cursor, self._answer
        before = answer.n_calls
        cursor.pos -= len(BARE) if marker == BARE else 0
        cursor.mark()
        for shape in self._shapes[marker]:
            try:
                yield from shape.read(answer, marker)
            except Mismatch:
                cursor.rewind()
                if answer.n_calls == before:
                    continue
            cursor.release()
            return True
        cursor.release()
        if marker in self._hidden:
            answer.marker()
        elif marker != BARE:
            answer.say(marker)
        return False
