"""``kolo complete``: one prompt in, one answer out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from kolo.chat.answer import Answer, ask
from kolo.cli import loop
from kolo.cli.options import (
    Number,
    Text,
    length_option,
    model_option,
    sampling,
    sampling_options,
)
from kolo.cli.partial import exit_code_of, not_whole
from kolo.cli.prompt import gather, read_grammar, read_schema
from kolo.cli.remote import server_or_local
from kolo.cli.root import Command
from kolo.cli.screen import StandardScreen
from kolo.config import load_settings
from kolo.connect import connect
from kolo.errors import UsageError
from kolo.types import Chat, Constraint, Generate, Message, Prompt


@click.command(
    "complete",
    cls=Command,
    short_help="Ask a model once; the answer is the output.",
    examples=[
        ('kolo complete "Name three rivers"', "one answer, to the terminal or a pipe"),
        ('git diff | kolo complete "Write a commit message"', "the input, then the instruction"),
        ('kolo complete "A user" --schema user.json --json | jq .', "JSON that fits a schema"),
        ("kolo complete --raw -n 40 < story.txt", "carry the text on, without a chat template"),
    ],
)
@click.argument("prompt", required=False, type=Text())
@model_option
@length_option
@click.option("--system", type=Text(), metavar="S", help="The system message.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="One JSON object with text, model, finish_reason, usage, timings and seed. "
    "With --schema the JSON answer itself, indented.",
)
@click.option(
    "--schema",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The answer is JSON that fits the JSON Schema in FILE.",
)
@click.option(
    "--grammar",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The answer fits the GBNF grammar in FILE.",
)
@click.option(
    "--stop",
    type=Text(),
    multiple=True,
    metavar="S",
    help="End the answer before this text; may be given again.",
)
@sampling_options
@click.option("--raw", is_flag=True, help="No chat template: the model carries the prompt on.")
@click.option(
    "--timeout",
    "timeout_s",
    type=Number(0.001, 1e9),
    metavar="SECONDS",
    help="Give up after this long, loading included; exit code 7.",
)
@server_or_local
def command(
    prompt: str | None,
    model: str | None,
    as_json: bool,
    schema: Path | None,
    timeout_s: float | None,
    local: bool,
    url: str | None,
    **options: Any,
) -> int:
    """Ask a model once; the answer is the output.

    Standard input, when piped (or with PROMPT -), comes first, then a blank line, then PROMPT.
    The answer streams to standard output and nothing else does; a line break is added if it
    does not end in one. Exit code 8 says that the length limit cut the answer.
    """
    op = _request(prompt, schema=schema, **options)
    settings = load_settings()
    name = model or settings.complete.model
    answer = Answer()

    async def complete() -> None:
        with StandardScreen(silent=as_json) as screen:
            async with connect(
                settings, local=local, url=url, model=name, watcher=screen, brief=True
            ) as connection:
                await ask(connection, name, op, screen, answer)

    loop.run(complete(), timeout_s=timeout_s)
    if as_json and schema is None:
        _print_json(_result(name, answer))
    code = exit_code_of(answer, op)
    if as_json and schema is not None and code == 0:
        return _print_document(answer.text)
    return code


def _request(
    prompt: str | None,
    *,
    system: str | None,
    schema: Path | None,
    grammar: Path | None,
    stop: tuple[str, ...],
    raw: bool,
    max_tokens: int | None,
    **options: Any,
) -> Generate:
    """What is asked of the engine. Files are read before standard input is waited for."""
    if raw and system is not None:
        raise UsageError(
            "--system needs the chat template, and --raw has none",
            hint="leave out one of the two",
        )
    if schema is not None and grammar is not None:
        raise UsageError(
            "--schema and --grammar both say what the answer must be",
            hint="leave out one of the two",
        )
    if "" in stop:
        raise UsageError("--stop is empty", hint="the text to stop at, such as $'\\n'")
    constraint = None
    if schema is not None:
        constraint = Constraint(json_schema=read_schema(schema))
    elif grammar is not None:
        constraint = Constraint(grammar=read_grammar(grammar))
    text = gather(prompt, raw=raw)
    messages = [Message(role="system", content=system)] if system else []
    messages.append(Message(role="user", content=text))
    return Generate(
        input=Prompt(text=text) if raw else Chat(messages=messages),
        sampling=sampling(options),
        constraint=constraint,
        max_tokens=max_tokens,
        stop=list(stop),
    )


def _result(model: str, answer: Answer) -> dict[str, Any]:
    """The object of ``--json``; ``kolo help json`` describes it."""
    assert answer.result is not None
    result = {
        "text": answer.text,
        "model": model,
        "finish_reason": answer.finish,
        "usage": msgspec.to_builtins(answer.result.usage),
        "timings": {
            name: round(value, 3)  # what is below a microsecond is noise
            for name, value in msgspec.to_builtins(answer.result.timings).items()
        },
        "seed": answer.result.seed,
    }
    if answer.reasoning:
        result["reasoning"] = answer.reasoning
    return result


def _print_json(value: dict[str, Any]) -> None:
    _write(msgspec.json.format(msgspec.json.encode(value), indent=2))


def _print_document(text: str) -> int:
    """The answer as one JSON document, its numbers and strings as the model wrote them."""
    try:
        document = msgspec.json.format(text.encode(), indent=2)
    except msgspec.DecodeError as error:
        return not_whole(
            f"the answer is not whole JSON: {error}",
            "without --json, to see it as it is (a --stop may have cut it)",
        )
    _write(document)
    return 0


def _write(document: bytes) -> None:
    sys.stdout.buffer.write(document + b"\n")
    sys.stdout.buffer.flush()
