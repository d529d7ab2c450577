"""The requests under way, as a snapshot lists them.

The manager knows which there are and what they have gained; the worker says, once a second, which
slots they hold. A request that came since the worker last spoke is taken to hold a slot while there
are any left.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from kolo.manager.engine import Engine
from kolo.manager.request import Underway
from kolo.snapshot import Request, RequestState
from kolo.stats import SlotStats

RATE_OVER_S = 5.0
SHORTEST_S = 0.2
"""A rate over less than this says nothing."""

_Marks = deque[tuple[float, int]]


class Paces:
    """Tokens a second of each request lately. Remembers how far it was in the last seconds."""

    def __init__(self) -> None:
        self._marks: dict[tuple[Engine, int], _Marks] = {}

    def of(self, engine: Engine, request: Underway, now_s: float) -> float | None:
        """None before its first token, and until there is enough to tell."""
        if request.ttft_ms is None:
            return None
        marks = self._marks.setdefault((engine, request.id), deque())
        if not marks:
            first_s = now_s - request.age_s + request.ttft_ms / 1000
            marks.append((first_s, 1))
        while len(marks) > 1 and now_s - marks[1][0] >= RATE_OVER_S:
            marks.popleft()
        since_s, tokens = marks[0]
        marks.append((now_s, request.tokens))
        over_s = now_s - since_s
        return round((request.tokens - tokens) / over_s, 2) if over_s >= SHORTEST_S else None

    def keep(self, open_requests: set[tuple[Engine, int]]) -> None:
        """Forget all others."""
        for gone in self._marks.keys() - open_requests:
            del self._marks[gone]


def requests_of(
    engine: Engine, slots: Mapping[int, SlotStats], paces: Paces, now_s: float
) -> list[Request]:
    """``slots`` by the request that holds them, as the worker last said."""
    underway = engine.requests()
    held = {request.id for request in underway if request.id in slots or request.tokens}
    free = engine.info.parallel - len(held)
    requests: list[Request] = []
    for request in underway:
        slot = slots.get(request.id)
        if request.id not in held and free > 0:
            held.add(request.id)
            free -= 1
        state: RequestState = "queued"
        if request.tokens:
            state = "decode"
        elif request.id in held:
            state = "prefill"
        requests.append(
            Request(
                id=request.id,
                engine=engine.id,
                kind=request.kind,
                state=state,
                cancelled=request.cancelled,
                age_s=round(request.age_s, 3),
                slot=slot.id if slot is not None else None,
                prompt_tokens=slot.prompt_tokens if slot is not None else None,
                prompt_done=slot.prompt_done if slot is not None else None,
                cached_tokens=slot.prompt_cached if slot is not None else None,
                output_tokens=request.tokens,
                tokens_per_s=paces.of(engine, request, now_s),
                ttft_ms=None if request.ttft_ms is None else round(request.ttft_ms, 3),
                user=request.user,
                client=request.client,
            )
        )
    return requests
