"""A request while an engine has it, as the manager sees it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from kolo.manager.caller import NO_TRACE, Account, Trace
from kolo.manager.mailbox import Mailbox
from kolo.manager.meter import Progress
from kolo.manager.sink import Kind
from kolo.types import (
    Embed,
    Embedded,
    FinishReason,
    Generate,
    Generated,
    Operation,
    Rerank,
    Reranked,
    Result,
)

KINDS: dict[type, Kind] = {Generate: "generate", Embed: "embed", Rerank: "rerank"}


@dataclass(slots=True)
class Request:
    id: int
    op: Operation
    box: Mailbox
    kind: Kind | None
    """None for calls that take no slot: they are not counted and not reported."""
    progress: Progress
    account: Account
    client: str = ""
    trace: Trace = NO_TRACE
    finish_reasons: dict[int, FinishReason] = field(default_factory=dict)
    cancelled: bool = False
    ended: bool = False
    """Cancelled by another than its reader, who is still there."""

    @property
    def user(self) -> str:
        return self.op.user if isinstance(self.op, Generate) else ""


class Underway(NamedTuple):
    """A request that holds or waits for a slot, as it is now."""

    id: int
    kind: Kind
    age_s: float
    tokens: int
    """Emitted so far."""
    ttft_ms: float | None
    user: str
    client: str
    cancelled: bool


def tokens_of(result: Result | None, progress: Progress) -> int:
    """What a request used; of one that failed, what it had written."""
    match result:
        case Generated():
            return result.usage.prompt_tokens + result.usage.completion_tokens
        case Embedded() | Reranked():
            return result.prompt_tokens
    return progress.tokens
