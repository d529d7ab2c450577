"""``kolo help``: a command's help, or a topic that belongs to no single command."""

from __future__ import annotations

from collections.abc import Callable

import click

from kolo.cli import COMMANDS
from kolo.cli.boundary import EXIT_CODES
from kolo.cli.root import Command, root, unknown

ENVIRONMENT: dict[str, str] = {
    "KOLO_CONFIG": "The settings file, in place of config.toml in the config folder.",
    "KOLO_HOME": "One folder for everything, in place of those that 'kolo path' shows.",
    "KOLO_URL": "Address of a running server, as --url.",
    "KOLO_DEBUG": "1 shows the traceback with an error.",
    "NO_COLOR": "Anything but empty: no colour and no styles.",
    "FORCE_COLOR": "Colour although the output is no terminal; CLICOLOR_FORCE is read too.",
    "TERM": "dumb: no line is written over, and signs are ASCII.",
}

JSON_TOPIC = """\
With --json a command writes one JSON document to standard output and nothing else; what it
has to say goes to standard error. Numbers are plain, times are milliseconds, sizes bytes.

kolo complete --json
  text           the answer
  model          which model gave it
  finish_reason  stop, or length when the limit cut it (exit code 8)
  usage          prompt_tokens (cached_tokens of them were not computed again),
                 completion_tokens, reasoning_tokens
  timings        queue_ms, prefill_ms, ttft_ms (their sum: the first token), decode_ms
                 (from the first token to the last), draft_tokens, draft_accepted
  seed           repeats the answer when given as --seed
  reasoning      what the model thought before, if it did

kolo complete --schema FILE --json
  The answer itself: one JSON document that fits the schema, indented. An answer that was cut
  is no document: nothing is written, and the exit code is 8.

kolo ps --json, kolo load --json
  An array of engines, or the one that was loaded: engine_id, state, stage, progress, error, pid,
  in_flight, parallel, ctx, memory_bytes, device_bytes, pinned, ttl_s, expires_s, idle_s (these
  three in seconds), model_path, source, aliases

kolo unload --json
  id, unloaded (the engines that were), forgotten

kolo path --json
  An object, from the folder's name to its path."""


def _exit_codes() -> str:
    return "\n".join(f"{code:>4}  {meaning}" for code, meaning in EXIT_CODES.items())


def _environment() -> str:
    from kolo.config import known_keys

    width = max(map(len, ENVIRONMENT))
    lines = [f"  {name:{width}}  {text}" for name, text in ENVIRONMENT.items()]
    lines += ["", "Every setting has a variable, stronger than the settings file:", ""]
    lines += [f"  KOLO_{key.upper().replace('.', '_')}" for key in known_keys()]
    return "\n".join(lines)


TOPICS: dict[str, tuple[str, Callable[[], str]]] = {
    "exit-codes": ("what a command's exit code says", _exit_codes),
    "environment": ("variables that Kolo reads", _environment),
    "json": ("what --json writes", lambda: JSON_TOPIC),
}


@click.command(
    "help",
    cls=Command,
    short_help="Explain a command or a topic.",
    examples=[
        ("kolo help complete", "a command, as kolo complete --help"),
        ("kolo help exit-codes", "a topic"),
    ],
)
@click.argument("topic", required=False, metavar="[TOPIC]")
@click.pass_context
def command(ctx: click.Context, topic: str | None) -> None:
    """Explain a command or a topic: exit-codes, environment, json."""
    parent = ctx.parent or ctx
    if topic is None:
        click.echo(parent.get_help() if parent is not ctx else ctx.get_help())
    elif topic in TOPICS:
        click.echo(TOPICS[topic][1]())
    elif topic in COMMANDS:
        found = root.get_command(parent, topic)
        assert found is not None
        with click.Context(found, info_name=topic, parent=parent) as inner:
            click.echo(found.get_help(inner))
    else:
        raise unknown("topic", topic, [*TOPICS, *COMMANDS], "kolo help")
