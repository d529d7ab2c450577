"""How much of the context a conversation takes, and what is left out when it is full."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from kolo.chat.stats import short_count
from kolo.chat.talk import Talk
from kolo.errors import InternalError
from kolo.types import Chat, Message, Render, Rendered, Tokenize, Tokenized

WARN_SHARE = 0.8
ANSWER_SHARE = 1 / 8
"""Of the context, kept free for an answer."""
KEPT_SHARE = 0.6
"""What is left of the context when turns are left out: so much at once, and not a little before
each message, because then the prompt would begin anew each time and be read from its start."""
TURN_TOKENS = 8
"""What a template puts around a turn, about."""


async def measure(talk: Talk, messages: Sequence[Message] | None = None) -> int:
    """How many tokens the conversation, or ``messages``, is as a prompt of the model. Raises
    KoloError."""
    op = talk.request(talk.conversation.messages if messages is None else messages)
    assert isinstance(op.input, Chat)
    rendered = await talk.connection.call(talk.model, Render(chat=op.input))
    if not isinstance(rendered, Rendered):
        raise InternalError(f"Render was answered with {type(rendered).__name__}")
    return await n_tokens(talk, rendered.prompt)


async def n_tokens(talk: Talk, text: str) -> int:
    """How many tokens ``text`` is. Raises KoloError."""
    found = await talk.connection.call(talk.model, Tokenize(text=text))
    if not isinstance(found, Tokenized):
        raise InternalError(f"Tokenize was answered with {type(found).__name__}")
    return len(found.tokens)


async def make_room(talk: Talk) -> None:
    """Before a question is sent: leave out the oldest exchanges if it would not fit with them,
    and say so. The system message stays, and so does the question. Raises KoloError."""
    if not talk.n_ctx or _surely_fits(talk):
        return
    limit = talk.n_ctx - _reserve(talk)
    talk.used = size = await measure(talk)
    while size > limit and len(starts := talk.conversation.exchanges()) > 1:
        upto, n = await _oldest(talk, starts, size - int(talk.n_ctx * KEPT_SHARE))
        talk.screen.note(
            f"the context is full ({short_count(size)} of {short_count(talk.n_ctx)} tokens): "
            f"{_exchanges(n)} not sent from now on"
        )
        talk.conversation.left_out = upto
        talk.used = size = await measure(talk)


def warn(talk: Talk) -> None:
    """After an answer: say once that the context is nearly full."""
    if not talk.n_ctx:
        return
    if talk.used < talk.n_ctx * WARN_SHARE:
        talk.warned = False
    elif not talk.warned:
        talk.warned = True
        talk.screen.note(
            f"the context is {talk.used / talk.n_ctx:.0%} full: when there is no room for an "
            "answer, the oldest turns are not sent any more; /compact makes a summary before that"
        )


def _surely_fits(talk: Talk) -> bool:
    """By what the last answer took, if that is known, and the bytes of what has come since: no
    token is less than one."""
    turns = talk.conversation.messages
    new = turns[-1:] if talk.used else turns
    most = talk.used + sum(len(_text(turn).encode()) + TURN_TOKENS for turn in new)
    return most < talk.n_ctx * WARN_SHARE


def _reserve(talk: Talk) -> int:
    asked = talk.choices.max_tokens
    share = int(talk.n_ctx * ANSWER_SHARE)
    return share if asked is None else min(asked, share)


async def _oldest(talk: Talk, starts: list[int], excess: int) -> tuple[int, int]:
    """The turn that the rest begins with if at least ``excess`` tokens go, and how many
    exchanges that are."""
    turns = talk.conversation.turns
    gone = 0
    for n, (start, after) in enumerate(pairwise(starts), 1):
        for turn in turns[start:after]:
            gone += await n_tokens(talk, _text(turn)) + TURN_TOKENS
        if gone >= excess:
            return after, n
    return starts[-1], len(starts) - 1


def _text(turn: Message) -> str:
    return f"{turn.reasoning_content or ''}{turn.content or ''}"


def _exchanges(n: int) -> str:
    return "the oldest exchange is" if n == 1 else f"the oldest {n} exchanges are"
