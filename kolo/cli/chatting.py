"""What ``kolo chat`` does, once its options are read."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kolo.beacon import find_server
from kolo.chat.answer import Answer, ask
from kolo.chat.choices import Choices
from kolo.chat.conversation import Conversation
from kolo.chat.cooked import PlainEditor
from kolo.chat.handlers.keeping import ago
from kolo.chat.lines import LineReader
from kolo.chat.link import Link
from kolo.chat.repl import Repl
from kolo.chat.session import Keeper, Saved, Session, Shelf, read
from kolo.chat.stats import context, short_count, size_text, stats_line
from kolo.chat.talk import Talk
from kolo.cli import loop
from kolo.cli.grid import Column, print_grid
from kolo.cli.options import sampling
from kolo.cli.output import fitting, look, printable
from kolo.cli.output import talk as say
from kolo.cli.partial import exit_code_of
from kolo.cli.prompt import gather, piped
from kolo.cli.screen import StandardScreen
from kolo.cli.table import print_json
from kolo.config import BUILTIN_MODEL, Settings, load_settings
from kolo.connect import Connection, connect
from kolo.errors import KoloError, UsageError
from kolo.models.gguf import shard_paths
from kolo.models.known import known
from kolo.models.resolve import all_names, resolve
from kolo.paths import find_paths
from kolo.types import Generate

if TYPE_CHECKING:
    from kolo.cli.live import LiveScreen

    AnyScreen = LiveScreen | StandardScreen

HISTORY = "chat_history"
CHATS = "chats"
TURNS_SHOWN = 2


def chat(
    *,
    prompt: str | None,
    model: str | None,
    system: str | None,
    resume: str | None,
    last: bool,
    lists: bool,
    no_history: bool,
    plain: bool,
    quiet: bool,
    as_json: bool,
    max_tokens: int | None,
    local: bool,
    url: str | None,
    **options: Any,
) -> int:
    shelf = Shelf(find_paths(os.environ).state / CHATS)
    if lists:
        if prompt is not None or resume is not None or last:
            raise UsageError(
                "--list only lists: it takes no PROMPT, --resume or --last",
                hint="kolo chat --list",
            )
        return _list(shelf, quiet=quiet, as_json=as_json)
    if quiet:
        raise UsageError("-q is for --list", hint="kolo chat --list -q")
    settings = load_settings()
    if prompt is not None and model is None:
        _refuse_model(prompt, settings)
    once = gather(prompt, command="chat") if prompt is not None or piped() else None
    if once is None:
        _need_terminal(as_json)
    begun = _begun(shelf, resume, last=last)
    session = (
        begun[0]
        if begun
        else Session(conversation=Conversation(settings.chat.system), choices=Choices())
    )
    if system is not None:
        session.conversation.system = system
    _choose(session.choices, max_tokens, options)
    keeps = settings.chat.save and not no_history and (once is None or begun is not None)
    path = begun[1] if begun and begun[1].parent == shelf.folder else None
    one = _Chat(
        settings,
        session,
        model=model or session.model or settings.chat.model,
        shelf=shelf,
        keeper=Keeper(shelf, path) if keeps else None,
        history=settings.chat.history and not no_history,
        plain=plain or not settings.chat.markdown,
        local=local,
        url=url,
    )
    if once is not None:
        return loop.run(one.answer(once, as_json=as_json))
    return loop.run(one.converse())


def _refuse_model(prompt: str, settings: Settings) -> None:
    """A prompt that is just a model's name is that model, meant to be talked with."""
    if len(prompt.split()) == 1 and prompt in all_names(settings):
        raise UsageError(
            f'"{printable(prompt)}" is a model', hint=f"kolo chat -m {shlex.quote(prompt)}"
        )


class _Chat:
    """A chat that is about to begin."""

    def __init__(
        self,
        settings: Settings,
        session: Session,
        *,
        model: str,
        shelf: Shelf,
        keeper: Keeper | None,
        history: bool,
        plain: bool,
        local: bool,
        url: str | None,
    ) -> None:
        self._settings = settings
        self._session = session
        self._model = model
        self._shelf = shelf
        self._keeper = keeper
        self._history = history
        self._plain = plain
        self._local = local
        self._url = url

    async def answer(self, text: str, *, as_json: bool) -> int:
        """One answer, and out."""
        answer = Answer()
        with self._screen(silent=as_json) as screen:
            async with connect(
                self._settings, local=self._local, url=self._url, model=self._model, watcher=screen
            ) as connection:
                talk = self._talk(connection, screen)
                talk.conversation.ask(text)
                op = talk.request(talk.conversation.messages)
                await ask(connection, self._model, op, screen, answer)
                talk.conversation.answer(answer.text, answer.reasoning)
                talk.save()
            if answer.result is not None and talk.stats:
                screen.note(stats_line(answer.result))
        if as_json:
            _print_answer(self._model, op, answer)
        return exit_code_of(answer, op)

    async def converse(self) -> int:
        with self._screen() as screen:
            open_ = partial(
                connect,
                self._settings,
                local=self._local,
                url=self._url,
                model=self._model,
                watcher=screen,
            )
            find = partial(find_server, self._settings, url=self._url)
            async with Link(open_, find) as link:
                talk = self._talk(link, screen)
                await talk.choose(self._model)
                screen.note(_greeting(talk))
                await _recall(talk)
                code = await Repl(talk, self._editor(talk)).run()
                if code == 0 and talk.keeper is not None and talk.keeper.path is not None:
                    screen.note("kolo chat --last goes on with this conversation")
                return code

    def _talk(self, connection: Connection, screen: AnyScreen) -> Talk:
        screen.show_thoughts = self._settings.chat.thoughts
        return Talk(
            connection,
            self._model,
            screen,
            conversation=self._session.conversation,
            choices=self._session.choices,
            shelf=self._shelf,
            keeper=self._keeper,
            names=partial(_names, self._settings, connection),
            stats=self._settings.chat.stats,
        )

    def _screen(self, *, silent: bool = False) -> AnyScreen:
        """Markdown where it can be drawn over, else text as it comes."""
        if silent or self._plain or not look(sys.stdout).redraw:
            return StandardScreen(silent=silent, still=self._plain)
        from kolo.cli.live import LiveScreen

        return LiveScreen(_sized(self._settings, self._model))

    def _editor(self, talk: Talk) -> LineReader:
        how = look(sys.stdout)
        if not how.redraw:
            return PlainEditor()
        from kolo.chat.completion import completions
        from kolo.chat.editor import Editor
        from kolo.chat.history import open_history

        path = find_paths(os.environ).state / HISTORY if self._history else None
        return Editor(
            open_history(path, talk.screen.note),
            toolbar=None if self._plain else lambda: fitting(toolbar(talk), how),
            complete=partial(completions, talk),
        )


def toolbar(talk: Talk) -> str:
    """What stands below the line: the model, the context, the temperature, where it runs."""
    temperature = talk.choices.sampling.temperature
    parts = [
        talk.model if "/" not in talk.model else Path(talk.model).stem,
        f"ctx {context(talk.used, talk.n_ctx)}" if talk.n_ctx else "",
        "" if temperature is None else f"temp {temperature:g}",
        "" if talk.choices.constraint is None else "json",
        ", ".join(f"+{each.name}" for each in talk.attachments),
        talk.connection.where.removeprefix("http://"),
    ]
    return " · ".join(part for part in parts if part)


def _list(shelf: Shelf, *, quiet: bool, as_json: bool) -> int:
    saved = shelf.saved()
    if quiet:
        for one in saved:
            click.echo(printable(one.name))
        return 0
    if as_json:
        print_json(saved)
        return 0
    now = time.time()
    print_grid(
        [Column("NAME"), Column("UPDATED"), Column("TURNS", number=True), Column("MODEL"),
         Column("BEGINS", flexible=True)],
        [[one.name, ago(now - one.updated), str(one.turns), one.model, one.title] for one in saved],
    )  # fmt: skip
    return 0


def _begun(shelf: Shelf, resume: str | None, *, last: bool) -> tuple[Session, Path] | None:
    """The conversation to go on with, and its file."""
    if resume is not None and last:
        raise UsageError("--resume and --last are two conversations", hint="leave out one of them")
    if resume is None and not last:
        return None
    if resume:
        path = shelf.find(resume)
        return read(path), path
    found = shelf.last() if last else _chosen(shelf.saved())
    if found is None:
        raise UsageError("no conversation has been saved yet", hint="kolo chat")
    return read(found), found


def _chosen(saved: list[Saved]) -> Path | None:
    """The one that the person picks from a list; None of an empty one."""
    if not saved:
        return None
    if piped() or not sys.stdout.isatty():
        raise UsageError("--resume without NAME asks which", hint="--resume NAME, or --last")
    now = time.time()
    shown = saved[:20]
    for number, one in enumerate(shown, 1):
        say(f"{number:3}  {one.title or one.name}  ({ago(now - one.updated)}, {one.turns} turns)")
    number = click.prompt("Which", type=click.IntRange(1, len(shown)), default=1, err=True)
    return Path(shown[int(number) - 1].path)


def _choose(choices: Choices, max_tokens: int | None, options: dict[str, Any]) -> None:
    """What the command line says wins over what the conversation had."""
    from msgspec.structs import asdict, replace

    given = {name: value for name, value in asdict(sampling(options)).items() if value is not None}
    del given["ignore_eos"]
    choices.sampling = replace(choices.sampling, **given)
    choices.max_tokens = choices.max_tokens if max_tokens is None else max_tokens


async def _recall(talk: Talk) -> None:
    """Of a conversation that goes on, its end."""
    turns = talk.conversation.turns
    if not turns and talk.conversation.unanswered is None:
        return
    if len(turns) > TURNS_SHOWN:
        talk.screen.note(f"… {len(turns) - TURNS_SHOWN} turns before (/show messages)")
    for turn in turns[-TURNS_SHOWN:]:
        if turn.role == "assistant":
            await talk.screen.show(turn.content or "")
        else:
            talk.screen.note(f"> {turn.content or ''}")
    if talk.conversation.unanswered is not None:
        talk.screen.note(f"> {talk.conversation.unanswered}\nnot answered: /retry sends it again")
    talk.screen.gap()


async def _names(settings: Settings, connection: Connection) -> list[str]:
    """The models there are: the server's, or this machine's."""
    if connection.where != "local":
        from kolo.client.engines import engines
        from kolo.client.http import Http

        async with Http(connection.where) as http:
            return [engine.engine_id for engine in await engines(http)]
    return sorted({BUILTIN_MODEL, *settings.models, *known(settings)})


def _sized(settings: Settings, model: str) -> Callable[[str], str]:
    """What to call a model that is being loaded: its name, and how large it is if that is known."""

    def called(title: str) -> str:
        reference = model if title == Path(model).stem else title
        try:
            path = resolve(reference, settings).path
            n_bytes = sum(part.stat().st_size for part in shard_paths(path))
        except (KoloError, OSError):
            return title
        return f"{title}, {size_text(n_bytes)}"

    return called


def _greeting(talk: Talk) -> str:
    return (
        f"{talk.model} · {short_count(talk.n_ctx)} tokens of context · {talk.connection.where}"
        " · /help, Ctrl-D leaves"
    )


def _print_answer(model: str, op: Generate, answer: Answer) -> None:
    from kolo.batch.answer import Answer as Whole
    from kolo.batch.record import completion

    whole = Whole()
    (choice,) = whole.choices
    choice.text, choice.reasoning, choice.finish = answer.text, answer.reasoning, answer.finish
    choice.n_tokens, whole.result = answer.n_tokens, answer.result
    print_json(completion(model, op, whole))


def _need_terminal(as_json: bool) -> None:
    if as_json:
        raise UsageError(
            "--json is for one answer, or for --list", hint='kolo chat "PROMPT" --json'
        )
    if sys.stdin is None or sys.stdout is None or not sys.stdout.isatty():
        raise UsageError(
            "a conversation needs a terminal, in and out",
            hint='kolo chat "PROMPT" for one answer',
        )
