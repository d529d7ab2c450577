"""Commands that only tell: what is set, what is sent, how large it is."""

from __future__ import annotations

import json

from kolo.chat.room import measure, n_tokens
from kolo.chat.stats import context, short_count
from kolo.chat.talk import Next, Talk
from kolo.errors import InternalError, UsageError
from kolo.types import Chat, Render, Rendered

VIEWS = ("params", "messages", "prompt", "system", "session")


async def show(talk: Talk, rest: str) -> Next:
    match rest.lower():
        case "":
            talk.screen.note("\n".join([*_session(talk), *_params(talk)]))
        case "params":
            talk.screen.note("\n".join(_params(talk)))
        case "session":
            talk.screen.note("\n".join(_session(talk)))
        case "system":
            talk.screen.note(talk.conversation.system or "there is no system message")
        case "messages":
            talk.screen.note(_messages(talk))
        case "prompt":
            talk.screen.note(await _prompt(talk))
        case _:
            raise UsageError(f"/show does not know {rest!r}", hint=f"/show {', '.join(VIEWS)}")
    return None


async def tokens(talk: Talk, rest: str) -> Next:
    if rest:
        n = await n_tokens(talk, rest)
        talk.screen.note(f"{n} token{'s' * (n != 1)}")
        return None
    if not talk.conversation.messages:
        talk.screen.note(f"0 of {short_count(talk.n_ctx)} tokens")
        return None
    talk.used = size = await measure(talk)
    lines = [f"{size} tokens are sent · {context(size, talk.n_ctx)}"]
    if talk.conversation.system:
        lines.append(f"  the system message: {await n_tokens(talk, talk.conversation.system)}")
    if talk.conversation.left_out:
        lines.append(f"  {talk.conversation.left_out} turns are not sent any more")
    if talk.n_ctx:
        lines.append(f"  left: {max(talk.n_ctx - size, 0)}")
    talk.screen.note("\n".join(lines))
    return None


def _params(talk: Talk) -> list[str]:
    rows = [f"  {key} {json.dumps(value)}" for key, value in talk.choices.chosen().items()]
    rows = rows or ["  parameters as the model has them"]
    rows.append(f"  thinking {talk.choices.thinking()}")
    if talk.choices.constraint is not None:
        rows.append("  answers are JSON (/json)")
    return rows


def _session(talk: Talk) -> list[str]:
    conversation = talk.conversation
    left = f", {conversation.left_out} of them not sent any more" if conversation.left_out else ""
    path = talk.keeper.path if talk.keeper is not None else None
    return [
        f"  {talk.model} · {context(talk.used, talk.n_ctx)} · {talk.connection.where}",
        f"  {len(conversation)} turns{left}",
        f"  saved as {path}" if path else "  not saved",
    ]


def _messages(talk: Talk) -> str:
    conversation = talk.conversation
    if not conversation.all:
        return "nothing has been said yet"
    parts = [f"system: {conversation.system}"] if conversation.system else []
    for at, turn in enumerate(conversation.turns):
        gone = " (not sent any more)" if at < conversation.left_out else ""
        parts.append(f"{turn.role}{gone}: {turn.content or ''}")
    return "\n\n".join(parts)


async def _prompt(talk: Talk) -> str:
    op = talk.request(talk.conversation.messages)
    assert isinstance(op.input, Chat)
    if not op.input.messages:
        raise UsageError("nothing has been said yet")
    found = await talk.connection.call(talk.model, Render(chat=op.input))
    if not isinstance(found, Rendered):
        raise InternalError(f"Render was answered with {type(found).__name__}")
    return found.prompt
