"""What every family's answer is read with: a request, a reader, and what came out of it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from kolo.engine.dialects import Dialect, Piece, Reader, detect
from kolo.types import Chat, Function, Tool

THOUGHT = "Look it up.\n\nThen tell."
WORDS = "Ich sehe nach: 天気 👋🏽"
WEATHER: dict[str, Any] = {
    "city": 'Zürich {x} "q" \\ ]',
    "days": 2,
    "where": {"a": [1, "x}"], "c": True},
}
TIME: dict[str, Any] = {"city": "Bern"}

WEATHER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer", "minimum": 1, "maximum": 9},
        "where": {
            "type": "object",
            "properties": {
                "a": {"type": "array", "items": {"type": ["number", "string"]}},
                "c": {"type": "boolean"},
            },
            "required": ["c"],
            "additionalProperties": False,
        },
    },
    "required": ["city"],
}
TIME_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["Bern", "Paris"]}},
    "required": ["city"],
}
SCHEMAS = {"get_weather": WEATHER_SCHEMA, "get_time": TIME_SCHEMA, "ping": {"type": "object"}}
TOOLS = [
    Tool(function=Function(name="get_weather", parameters=WEATHER_SCHEMA)),
    Tool(function=Function(name="get_time", parameters=TIME_SCHEMA)),
    Tool(function=Function(name="ping")),
]


@dataclass(frozen=True)
class Case:
    id: str
    name: str
    source: str
    before: str
    """The text up to the calls."""
    calls: str
    opens_reasoning: bool = False
    thought: str = THOUGHT
    words: str = WORDS
    ids: tuple[str, ...] = ()
    """Those the model writes; otherwise they are made."""
    single: bool = False
    """The family makes one call at a time: only ``get_weather`` is called."""

    @property
    def text(self) -> str:
        return self.before + self.calls

    @property
    def dialect(self) -> Dialect:
        return detect(self.source)

    @property
    def arguments(self) -> list[tuple[str, dict[str, Any]]]:
        both: list[tuple[str, dict[str, Any]]] = [("get_weather", WEATHER), ("get_time", TIME)]
        return both[:1] if self.single else both


@dataclass
class Outcome:
    """Everything a reader gave away, joined."""

    content: str
    reasoning: str
    calls: list[tuple[str, str, str]]
    """Id, name, arguments."""
    called: bool

    @property
    def parsed(self) -> list[tuple[str, Any]]:
        return [(name, json.loads(arguments)) for _, name, arguments in self.calls]


def chat(tools: list[Tool] | None = TOOLS, **fields: Any) -> Chat:
    return Chat(messages=[], tools=tools, **fields)


def counting_ids() -> Callable[[], str]:
    numbers = itertools.count(1)
    return lambda: f"call_{next(numbers):024d}"


def reader_of(
    dialect: Dialect, request: Chat | None = None, *, opens_reasoning: bool = False
) -> Reader:
    return dialect.reader(request or chat(), opens_reasoning=opens_reasoning, ids=counting_ids())


def read(reader: Reader, pieces: Iterable[str]) -> Outcome:
    """Feed the pieces and finish."""
    return joined(reader, [*(reader.feed(piece) for piece in pieces), reader.finish()])


def joined(reader: Reader, given: list[Piece]) -> Outcome:
    calls: dict[int, list[str]] = {}
    for delta in itertools.chain.from_iterable(piece.tool_calls for piece in given):
        call = calls.setdefault(delta.index, ["", "", ""])
        if call == ["", "", ""]:
            assert delta.id
            assert delta.name
        else:
            assert not delta.id
            assert not delta.name
        for at, part in enumerate((delta.id, delta.name, delta.arguments)):
            call[at] += part
    assert list(calls) == list(range(len(calls)))
    return Outcome(
        "".join(piece.content for piece in given),
        "".join(piece.reasoning for piece in given),
        [(call[0], call[1], call[2]) for call in calls.values()],
        reader.called,
    )


def both_ways(dialect: Dialect, text: str, request: Chat | None = None, **options: bool) -> Outcome:
    """Read whole and by the character, which must not differ."""
    whole = read(reader_of(dialect, request, **options), [text])
    assert read(reader_of(dialect, request, **options), text) == whole
    return whole
