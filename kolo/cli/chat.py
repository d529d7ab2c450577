"""``kolo chat``: talk with a model, at a terminal or once."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

import click

from kolo.chat.answer import Answer, ask
from kolo.chat.conversation import Conversation
from kolo.chat.cooked import PlainEditor
from kolo.chat.repl import LineReader, Repl
from kolo.chat.stats import short_count, stats_line
from kolo.cli import loop
from kolo.cli.options import Text, length_option, model_option, sampling, sampling_options
from kolo.cli.output import look
from kolo.cli.partial import exit_code_of
from kolo.cli.prompt import gather, piped
from kolo.cli.remote import server_or_local
from kolo.cli.root import Command
from kolo.cli.screen import StandardScreen
from kolo.config import load_settings
from kolo.connect import Connection, connect
from kolo.errors import UsageError
from kolo.paths import find_paths
from kolo.types import Chat, EngineStats, Generate, Inspect, Message

Source = Callable[..., AbstractAsyncContextManager[Connection]]
"""Makes the connection; takes the watcher."""


@click.command(
    "chat",
    cls=Command,
    short_help="Talk with a model.",
    examples=[
        ("kolo chat", "a conversation with the model that comes with Kolo"),
        ('kolo chat -m ./model.gguf --system "Be brief."', "with another model, told how to be"),
        ('kolo chat "What is a slot?"', "one answer, and out"),
    ],
)
@click.argument("prompt", required=False, type=Text())
@model_option
@click.option("--system", type=Text(), metavar="S", help="The system message.")
@length_option
@sampling_options
@server_or_local
def command(
    prompt: str | None,
    model: str | None,
    system: str | None,
    max_tokens: int | None,
    local: bool,
    url: str | None,
    **options: Any,
) -> int:
    """Talk with a model.

    With PROMPT, or with input piped in, one answer and out. Else a conversation: Ctrl-C stops
    an answer and keeps what came, Ctrl-D leaves, /help says more.
    """
    draw = sampling(options)

    def request(messages: list[Message]) -> Generate:
        return Generate(input=Chat(messages=messages), sampling=draw, max_tokens=max_tokens)

    conversation = Conversation(system)
    once = gather(prompt) if prompt is not None or piped() else None
    if once is None:
        _need_terminal()
    settings = load_settings()
    name = model or settings.chat.model
    source = partial(connect, settings, local=local, url=url, model=name)
    if once is None:
        return loop.run(_converse(source, name, conversation, request))
    conversation.ask(once)
    return loop.run(_answer_once(source, name, request(conversation.messages)))


async def _answer_once(source: Source, model: str, op: Generate) -> int:
    answer = Answer()
    with StandardScreen() as screen:
        async with source(watcher=screen) as connection:
            await ask(connection, model, op, screen, answer)
        if answer.result is not None:
            screen.note(stats_line(answer.result))
    return exit_code_of(answer, op)


async def _converse(
    source: Source,
    model: str,
    conversation: Conversation,
    request: Callable[[list[Message]], Generate],
) -> int:
    with StandardScreen() as screen:
        async with source(watcher=screen) as connection:
            stats = await connection.call(model, Inspect())
            if isinstance(stats, EngineStats):
                screen.note(_greeting(model, stats, connection.where))
            editor = _editor(screen)
            return await Repl(connection, model, conversation, request, screen, editor).run()


def _editor(screen: StandardScreen) -> LineReader:
    if not look(sys.stdout).redraw:
        return PlainEditor()
    from kolo.chat.editor import Editor, open_history

    return Editor(open_history(find_paths(os.environ).state / "chat_history", screen.note))


def _greeting(model: str, stats: EngineStats, where: str) -> str:
    return (
        f"{model} · {short_count(stats.n_ctx)} tokens of context · {where} · /help, Ctrl-D leaves"
    )


def _need_terminal() -> None:
    if sys.stdin is None or sys.stdout is None or not sys.stdout.isatty():
        raise UsageError(
            "a conversation needs a terminal, in and out",
            hint='kolo chat "PROMPT" for one answer',
        )
