"""Where the manager tells what happens, without knowing who listens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal, NamedTuple, ParamSpec, Protocol

from kolo.errors import KoloError
from kolo.manager.caller import NO_TRACE, Trace
from kolo.manager.meter import Emission
from kolo.types import FinishReason, ModelInfo, Operation, Result

Kind = Literal["generate", "embed", "rerank"]
_P = ParamSpec("_P")


class Finished(NamedTuple):
    """A request that was taken and has ended. ``result`` or ``error`` is set, never both."""

    request: int
    kind: Kind
    result: Result | None
    error: KoloError | None
    cancelled: bool
    """Whether the client went away; the worker may still have sent a result."""
    wall_ms: float
    """Submit to the last frame, on the manager's clock."""
    user: str
    client: str = ""
    """Address it came from."""
    ttft_ms: float | None = None
    """Submit to the arrival of the first token; None if there was none."""
    decode_ms: float = 0.0
    """Arrival of the first token to that of the last."""
    asked: Operation | None = None
    """What was asked, its texts included: to read its parameters, not to keep."""
    finish_reasons: tuple[FinishReason, ...] = ()
    """Of each choice that came to an end."""
    trace: Trace = NO_TRACE


class Sink(Protocol):
    """Each method returns at once. ``id`` is the engine's."""

    def loading(self, id: str, stage: str, fraction: float) -> None: ...

    def loaded(self, id: str, info: ModelInfo, load_ms: float) -> None: ...

    def unloaded(self, id: str, reason: str) -> None: ...

    def crashed(self, id: str, reason: str) -> None: ...

    def refused(self, id: str, error: KoloError) -> None:
        """A load that failed, or a request turned away before it began (Busy)."""

    def emitted(self, id: str, emission: Emission) -> None:
        """Tokens that came since the last time: once a second, and before the last of the
        requests under way is ``finished``."""

    def finished(self, id: str, request: Finished) -> None: ...

    def note(self, id: str, level: str, message: str) -> None:
        """Something a worker wants the operator to see."""


class NullSink:
    """Listens to nothing."""

    def loading(self, id: str, stage: str, fraction: float) -> None:
        pass

    def loaded(self, id: str, info: ModelInfo, load_ms: float) -> None:
        pass

    def unloaded(self, id: str, reason: str) -> None:
        pass

    def crashed(self, id: str, reason: str) -> None:
        pass

    def refused(self, id: str, error: KoloError) -> None:
        pass

    def emitted(self, id: str, emission: Emission) -> None:
        pass

    def finished(self, id: str, request: Finished) -> None:
        pass

    def note(self, id: str, level: str, message: str) -> None:
        pass


def tell(event: Callable[_P, None], *args: _P.args, **kwargs: _P.kwargs) -> None:
    """Call a method of a sink; one that raises is reported and takes no stream with it."""
    try:
        event(*args, **kwargs)
    except Exception as error:
        asyncio.get_running_loop().call_exception_handler(
            {"message": f"the manager's sink failed in {event!r}", "exception": error}
        )
