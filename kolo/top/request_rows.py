"""Requests and events as rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from kolo.snapshot import Event, Request, Snapshot
from kolo.top import words
from kolo.top.choosing import in_order, matches
from kolo.top.spans import Span, clean
from kolo.top.state import Ui
from kolo.top.table import Column, Rows
from kolo.top.words import MISSING, NOTHING

REQUESTS = (
    Column("engine", "ENGINE", 12, 1, grows=True, most=26, help="which engine answers"),
    Column("id", "ID", 5, 4, number=True, help="its number at that engine"),
    Column("age", "AGE", 6, number=True, help="since it was sent"),
    Column("state", "STATE", 11, help="queued, prefill and how far, decode"),
    Column("in", "IN", 5, number=True, help="tokens of the prompt"),
    Column("cached", "CACHED", 6, 3, number=True, help="of them, taken from a cache"),
    Column("out", "OUT", 5, number=True, help="tokens written so far"),
    Column("rate", "TOK/s", 6, number=True, help="tokens a second, last 5 s"),
    Column("ttft", "TTFT", 6, 5, number=True, help="time to its first token"),
    Column("slot", "SLOT", 4, 7, number=True, help="where it is computed"),
    Column("client", "CLIENT", 12, 2, grows=True, most=40, help="who asks, and from where"),
)
EVENTS = (
    Column("at", "TIME", 8, 1, help="when it happened"),
    Column("kind", "KIND", 9, 2, help="what it was"),
    Column("text", "EVENT", 10, grows=True, most=1000),
)
_OF_A_LOAD = ("loading", "loaded", "load_failed", "unloaded", "evicted", "crashed", "removed")
_LEVELS = {"info": "", "warning": "warn", "error": "bad"}
_STATES = {"queued": "warn", "prefill": "in", "decode": "good"}


def request_key(request: Request) -> str:
    return f"{request.engine}\n{request.id}"


def request_rows(snapshot: Snapshot, ui: Ui, engine: str | None = None) -> Rows:
    """Those that the filter keeps, in order; with ``engine``, of that one alone."""
    kept: Sequence[Request] = [
        one
        for one in snapshot.requests
        if (engine is None or one.engine == engine) and _keeps(one, ui)
    ]
    kept = in_order(
        kept, _VALUES, ui.sort.get("requests", ""), reverse=ui.reverse.get("requests", False)
    )
    return Rows([request_key(one) for one in kept], lambda at: _cells(kept[at]))


def event_rows(events: Iterable[Event], ui: Ui) -> Rows:
    """Those that the filter keeps, the newest first. Of a load the last stage is enough, and none
    once it is known how it ended: else the stages push what matters off a short list."""
    wanted = {"": ("info", "warning", "error"), "warning": ("warning", "error")}
    state = ui.state.get("events", "")
    levels = wanted.get(state, (state,))
    text = ui.filter.get("events", "")
    kept = [
        event
        for event in _without_former_stages(events)
        if event.level in levels and matches(text, event.text, event.kind, event.engine or "")
    ]
    return Rows([f"{event.at} {event.seq}" for event in kept], lambda at: _event(kept[at]))


def _without_former_stages(events: Iterable[Event]) -> Iterator[Event]:
    """The newest first."""
    told: set[str | None] = set()
    for event in reversed(list(events)):
        if event.kind != "loading" or event.engine not in told:
            yield event
        if event.kind in _OF_A_LOAD:
            told.add(event.engine)


def _event(event: Event) -> tuple[Span, ...]:
    role = _LEVELS[event.level]
    return (
        Span(words.clock(event.at), "dim"),
        Span(event.kind, role or "dim"),
        Span(clean(event.text), role),
    )


def who(request: Request) -> str:
    """``ana@10.0.4.12``."""
    user, client = clean(request.user), clean(request.client)
    return f"{user}@{client}" if user and client else user or client or MISSING


def _keeps(request: Request, ui: Ui) -> bool:
    wanted = ui.state.get("requests", "")
    if wanted and request.state != wanted:
        return False
    texts = (request.engine, request.state, request.kind, who(request), str(request.id))
    return matches(ui.filter.get("requests", ""), *texts)


def _cells(request: Request) -> tuple[Span, ...]:
    began = request.state != "queued"
    return (
        Span(clean(request.engine)),
        Span(str(request.id), "dim"),
        Span(words.span(request.age_s)),
        Span(_state(request), "dim" if request.cancelled else _STATES[request.state]),
        Span(_tokens(request.prompt_tokens, began), "in"),
        Span(_tokens(request.cached_tokens, began), "dim"),
        Span(words.count(request.output_tokens) if began else "", "out"),
        Span(words.rate(request.tokens_per_s) if began else "", "out"),
        Span(words.ms(request.ttft_ms) if began else "", "dim"),
        Span("" if request.slot is None else str(request.slot), "dim"),
        Span(who(request), "dim"),
    )


def _state(request: Request) -> str:
    if request.cancelled:
        return "cancelled"
    if request.kind != "generate" and request.state != "queued":
        return request.kind
    if request.state == "prefill" and request.prompt_tokens:
        return f"prefill {words.percent((request.prompt_done or 0) / request.prompt_tokens)}"
    return request.state


def _tokens(n: int | None, began: bool) -> str:
    if n is None:
        return MISSING if began else NOTHING
    return words.count(n)


_VALUES: dict[str, Callable[[Request], Any]] = {
    "engine": lambda r: r.engine.casefold(),
    "id": lambda r: r.id,
    "age": lambda r: r.age_s,
    "state": lambda r: r.state,
    "in": lambda r: r.prompt_tokens,
    "cached": lambda r: r.cached_tokens,
    "out": lambda r: r.output_tokens,
    "rate": lambda r: r.tokens_per_s,
    "ttft": lambda r: r.ttft_ms,
    "slot": lambda r: r.slot,
    "client": who,
}
