"""Commands on the turns of a conversation: have one again, change it, take it back, shorten."""

from __future__ import annotations

import asyncio

from kolo.chat.answer import Answer, ask
from kolo.chat.clipboard import copy as to_clipboard
from kolo.chat.conversation import SUMMARISE
from kolo.chat.fences import code_blocks
from kolo.chat.room import make_room, measure
from kolo.chat.stats import short_count
from kolo.chat.talk import Ask, Leave, Next, Talk
from kolo.errors import UsageError
from kolo.types import Chat, Generate, Message

SUMMARY_SHARE = 1 / 8
"""Of the context, what a summary may take."""


async def retry(talk: Talk, rest: str) -> Next:
    if not talk.conversation.ask_again():
        raise UsageError("nothing has been asked yet")
    if talk.choices.sampling.seed is not None and talk.choices.sampling.seed >= 0:
        talk.screen.note("the seed is set: the answer will be the same (/set seed default)")
    return Ask()


async def edit(talk: Talk, rest: str) -> Next:
    question = talk.conversation.undo()
    if question is None:
        raise UsageError("nothing has been asked yet")
    talk.draft = question
    talk.forget_size()
    return None


async def undo(talk: Talk, rest: str) -> Next:
    question = talk.conversation.undo()
    if question is None:
        raise UsageError("there is nothing to take back")
    talk.forget_size()
    talk.save()
    talk.screen.note(f"taken back: {_first_line(question)}")
    return None


async def clear(talk: Talk, rest: str) -> Next:
    talk.conversation.clear()
    talk.attachments.clear()
    talk.forget_size()
    if talk.keeper is not None:
        talk.keeper.branch()
    talk.screen.note("the conversation is forgotten")
    return None


async def leave(talk: Talk, rest: str) -> Next:
    return Leave()


async def copy(talk: Talk, rest: str) -> Next:
    what = rest.lower() or "answer"
    if what not in ("answer", "code", "all"):
        raise UsageError(f"/copy does not know {rest!r}", hint="/copy, /copy code or /copy all")
    text = _wanted(talk, what)
    copied = await asyncio.to_thread(to_clipboard, text)
    if copied.sequence and not talk.screen.control(copied.sequence):
        raise UsageError(
            "this terminal has no clipboard that could be reached", hint="/export md FILE"
        )
    lines = text.count("\n") + 1
    talk.screen.note(f"{lines} line{'s' * (lines != 1)} to {copied.by}")
    return None


async def compact(talk: Talk, rest: str) -> Next:
    """Ctrl-C on the way leaves everything as it was."""
    if len(talk.conversation) < 3:
        raise UsageError("there is not enough yet to make a summary of")
    request = f"{SUMMARISE} Above all: {rest}" if rest else SUMMARISE
    room = max(int(talk.n_ctx * SUMMARY_SHARE), 64) if talk.n_ctx else None
    op = Generate(
        input=Chat(messages=await _to_summarise(talk, request, room or 0)),
        sampling=talk.choices.sampling,
        max_tokens=room,
    )
    answer = Answer()
    await ask(talk.connection, talk.model, op, talk.screen, answer)
    if not answer.text.strip():
        raise UsageError("the model made no summary: the conversation is as it was")
    if answer.finish == "length" and answer.n_tokens < (op.max_tokens or 0):
        raise UsageError(
            "there was no room for a whole summary: the conversation is as it was",
            hint="/undo makes room, /clear begins anew",
        )
    before = talk.used
    talk.conversation = talk.conversation.summarised(request, answer.text.strip())
    talk.forget_size()
    if talk.keeper is not None:
        talk.keeper.fork()
        talk.save()
    await make_room(talk)
    talk.screen.note(
        f"the conversation goes on from this summary and the last exchange"
        f" ({short_count(before)} tokens before, {short_count(talk.used)} now)"
        if before and talk.used
        else "the conversation goes on from this summary and the last exchange"
    )
    return None


async def _to_summarise(talk: Talk, request: str, room: int) -> list[Message]:
    """The conversation and the request, with the turns that are left out if they fit."""
    asked, left_out = Message(role="user", content=request), talk.conversation.left_out
    if left_out:
        whole = [*talk.conversation.before_last(whole=True), asked]
        if not talk.n_ctx or await measure(talk, whole) + room <= talk.n_ctx:
            return whole
        talk.screen.note(f"the first {left_out} turns do not fit: they are not part of the summary")
    return [*talk.conversation.before_last(), asked]


def _wanted(talk: Talk, what: str) -> str:
    if what == "all":
        if not len(talk.conversation):
            raise UsageError("there is nothing to copy yet")
        return "\n\n".join(f"{turn.role}: {turn.content or ''}" for turn in talk.conversation.turns)
    answer = talk.conversation.last_answer()
    if answer is None:
        raise UsageError("there is no answer to copy yet")
    if what == "answer":
        return answer
    blocks = code_blocks(answer)
    if not blocks:
        raise UsageError("the last answer has no code block", hint="/copy takes all of it")
    return "\n".join(blocks)


def _first_line(text: str) -> str:
    first, _, rest = text.strip().partition("\n")
    return f"{first}…" if rest else first
