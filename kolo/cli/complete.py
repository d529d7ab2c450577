"""``kolo complete``: one prompt in, one answer out; or a file of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kolo.cli.options import (
    Text,
    length_option,
    lines_options,
    model_option,
    sampling_options,
)
from kolo.cli.remote import server_or_local
from kolo.cli.root import Command

FILE = click.Path(path_type=Path)


@click.command(
    "complete",
    cls=Command,
    short_help="Ask a model once; the answer is the output.",
    examples=[
        ('kolo complete "Name three rivers"', "one answer, to the terminal or a pipe"),
        ('git diff | kolo complete "Write a commit message"', "the input, then the instruction"),
        ('kolo complete "A user" --schema user.json --json | jq .', "JSON that fits a schema"),
        ("kolo complete --file mail.txt 'Spam?' --choices yes,no", "one of these, nothing else"),
        ("kolo complete --jsonl in.jsonl --out out.jsonl", "a file of requests, resumable"),
        ("kolo complete --raw -n 40 < story.txt", "carry the text on, without a chat template"),
    ],
)
@click.argument("prompt", required=False, type=Text())
@model_option
@length_option
@click.option("--system", type=Text(), metavar="S", help="The system message.")
@click.option(
    "--file",
    "files",
    type=FILE,
    multiple=True,
    metavar="FILE",
    help="Text that goes before the rest; may be given again.",
)
@click.option(
    "--template",
    type=FILE,
    metavar="FILE",
    help="The prompt is the text of FILE, its {{ variables }} filled in (Jinja); {{ input }} is "
    "what would be the prompt without it.",
)
@click.option(
    "--var",
    "variables",
    type=Text(),
    multiple=True,
    metavar="NAME=VALUE",
    help="A variable of the template; may be given again.",
)
@click.option("--vars", "variables_file", type=FILE, metavar="FILE", help="More, a JSON object.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="One JSON object with text, model, finish_reason, usage, timings and seed. "
    "With --schema the JSON answer itself, indented.",
)
@click.option(
    "--schema",
    type=FILE,
    metavar="FILE",
    help="The answer is JSON that fits the JSON Schema in FILE.",
)
@click.option(
    "--grammar",
    type=FILE,
    metavar="FILE",
    help="The answer fits the GBNF grammar in FILE.",
)
@click.option(
    "--choices",
    type=Text(),
    metavar="A,B,C",
    help="The answer is exactly one of these; a JSON array if one has a comma.",
)
@click.option(
    "--stop",
    type=Text(),
    multiple=True,
    metavar="S",
    help="End the answer before this text; may be given again.",
)
@sampling_options
@click.option(
    "--n",
    "answers",
    type=click.IntRange(1, 128),
    default=1,
    metavar="N",
    help="This many answers, one after another; --json keeps them apart.",
)
@click.option(
    "--logprobs",
    type=click.IntRange(0, 20),
    metavar="N",
    help="With --json: the log-probability of each token, and the N likeliest at its place.",
)
@click.option("--raw", is_flag=True, help="No chat template: the model carries the prompt on.")
@click.option(
    "--jsonl",
    "requests",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="IN",
    help="Requests from a file, or -: a line each, a text or an object with prompt or messages, "
    "and id, model, system, temperature and the like of its own. Results are lines of JSON in "
    "the same order. With --template a line holds its variables.",
)
@lines_options
@click.option(
    "--allow-cut", is_flag=True, help="An answer that the length limit cut is as good as whole."
)
@server_or_local
def command(requests: Path | None, **options: Any) -> int:
    """Ask a model once; the answer is the output.

    Files come first, then standard input, when piped (or with PROMPT -), then PROMPT, with blank
    lines between them. The answer streams to standard output and nothing else does; a line break
    is added if it does not end in one. Exit code 8 says that the length limit cut the answer, or
    that a request of --jsonl has none.
    """
    if requests is not None:
        from kolo.cli.complete_many import complete_many

        return complete_many(requests, **options)
    from kolo.cli.complete_once import complete_once

    return complete_once(**options)
