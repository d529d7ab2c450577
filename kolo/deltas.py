"""Two deltas made one, where a reader loses nothing by it."""

from __future__ import annotations

from collections.abc import Sequence

from kolo.types import Delta


def merge(waiting: Sequence[Delta], delta: Delta) -> bool:
    """Add ``delta`` to one of those that wait to be read, and will be before it; False, with
    nothing changed, where it must stand alone.

    Only the last one of the same choice qualifies, and not its final one. A delta is read in the
    order reasoning, text, tool calls, so one that goes back in that order is kept apart. The final
    delta stands alone too: it says how the choice ended.
    """
    if delta.finish is not None:
        return False
    for last in reversed(waiting):
        if last.index == delta.index and last.id == delta.id:
            if last.finish is not None or _last_channel(last) > _first_channel(delta):
                return False
            _add(last, delta)
            return True
    return False


def _first_channel(delta: Delta) -> int:
    return 0 if delta.reasoning else 1 if delta.text else 2


def _last_channel(delta: Delta) -> int:
    return 2 if delta.tool_calls else 1 if delta.text else 0


def _add(target: Delta, delta: Delta) -> None:
    target.reasoning += delta.reasoning
    target.text += delta.text
    target.n_tokens += delta.n_tokens
    target.tool_calls.extend(delta.tool_calls)
    target.logprobs.extend(delta.logprobs)
    target.slot = delta.slot
