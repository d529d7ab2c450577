"""The HTTP maker of ``kolo.connect``: a running server behind the interface of a connection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, aclosing, suppress
from typing import Protocol

from kolo.client.answer import Answer
from kolo.client.engines import find_engine, load
from kolo.client.http import Http
from kolo.client.question import body_of, path_of, with_seed
from kolo.errors import Forbidden
from kolo.types import Delta, Generate, Generated, Operation, Result


class Watcher(Protocol):
    def loading(self, model: str, fraction: float | None) -> None:
        """How far a model is loaded, 0 to 1; None when it is there, or will not be."""


class RemoteStream:
    """An answer as it comes from a server."""

    def __init__(self, answer: Answer, deltas: AsyncIterator[Delta], held: AsyncExitStack) -> None:
        self._answer = answer
        self._deltas = deltas
        self._held = held

    def __aiter__(self) -> AsyncIterator[Delta]:
        return self._deltas

    @property
    def result(self) -> Generated | None:
        return self._answer.result

    async def aclose(self) -> None:
        """Close the response: by that the server knows that nobody wants the rest."""
        await self._held.aclose()


class RemoteConnection:
    """Sends requests to one server, for any model that it has.

    ``called`` maps a reference to the name that the server has for it, where they differ.
    """

    def __init__(
        self, http: Http, watcher: Watcher | None = None, called: Mapping[str, str] | None = None
    ) -> None:
        self.where = http.url
        self._http = http
        self._watcher = watcher
        self._called = called or {}

    async def generate(
        self, model: str, op: Generate, *, reading: Callable[[float], None] | None = None
    ) -> RemoteStream:
        op, name = with_seed(op), self._called.get(model, model)
        body = body_of(name, op)
        if reading is not None:
            body["return_progress"] = True
        await self._load(name)
        answer = Answer(op.sampling.seed or 0, op.top_logprobs, reading)
        async with AsyncExitStack() as held:
            events = await held.enter_async_context(self._http.events("POST", path_of(op), body))
            deltas = await held.enter_async_context(aclosing(answer.read(events)))
            return RemoteStream(answer, deltas, held.pop_all())

    async def call(self, model: str, op: Operation) -> Result:
        from kolo.client.calls import call  # kolo complete does without

        name = self._called.get(model, model)
        await self._load(name)
        return await call(self._http, name, op)

    async def _load(self, model: str) -> None:
        """Have the model loaded while somebody watches; else the request itself does it."""
        if self._watcher is None:
            return
        show = self._watcher.loading
        with suppress(Forbidden):  # a key may be good for asking and for nothing else
            engine = await find_engine(self._http, model)
            if engine is None or engine.state == "loaded":
                return
            try:
                await load(self._http, {"model": model}, lambda stage, share: show(model, share))
            finally:
                show(model, None)
