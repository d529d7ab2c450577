"""``kolo embed``: texts in, vectors out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import click

from kolo.cli.options import Text, lines_options, model_option
from kolo.cli.remote import server_or_local
from kolo.cli.root import Command

FILE = click.Path(path_type=Path)
FORMATS = ("jsonl", "json", "csv", "npy")
TEXTS_AT_ONCE = 32


@click.command(
    "embed",
    cls=Command,
    short_help="Turn texts into vectors.",
    examples=[
        ('kolo embed -m nomic "What is a slot?"', "one text, a line of JSON with its vector"),
        ("kolo embed -m nomic --lines -o npy < lines.txt > lines.npy", "a matrix for NumPy"),
        ("kolo embed -m nomic --jsonl in.jsonl --out out.jsonl", "a file of texts, resumable"),
    ],
)
@click.argument("texts", nargs=-1, type=Text(), metavar="[TEXT]...")
@model_option
@click.option(
    "--file",
    "files",
    type=FILE,
    multiple=True,
    metavar="FILE",
    help="The text of a file, after TEXT; may be given again.",
)
@click.option(
    "--lines", is_flag=True, help="Each line of --file and of standard input is a text of its own."
)
@click.option(
    "--dimensions",
    type=click.IntRange(1, 1 << 20),
    metavar="N",
    help="Only the first N of a vector, at unit length again: for models trained for it.",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(FORMATS),
    help="jsonl (a line for each text, the default), json (one document), csv (a row for each "
    "text), npy (NumPy's format, 32-bit floats).",
)
@click.option("--json", "as_json", is_flag=True, help="The same as -o json.")
@click.option(
    "--jsonl",
    "requests",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="IN",
    help="Texts from a file, or -: a line each, a text or an object with text, and id and model "
    "of its own. Results are lines of JSON in the same order.",
)
@lines_options
@server_or_local
def command(requests: Path | None, output: str | None, as_json: bool, **options: Any) -> int:
    """Turn texts into vectors.

    Each TEXT and --file has one. Without either, or with TEXT -, standard input has. A model
    made to embed (kolo show says which is) tells texts apart best; one that generates text, such as
    guide, has vectors too.
    """
    from kolo.errors import UsageError

    if as_json and output not in (None, "json"):
        raise UsageError(f"--json is -o json, and not -o {output}", hint="one of the two")
    if requests is not None:
        return _embed_lines(requests, "json" if as_json else output, **options)
    return _embed_texts("json" if as_json else output or "jsonl", **options)


def _embed_lines(
    requests: Path,
    output: str | None,
    *,
    texts: tuple[str, ...],
    model: str | None,
    files: tuple[Path, ...],
    lines: bool,
    dimensions: int | None,
    **options: Any,
) -> int:
    from kolo.batch.run import Line
    from kolo.batch.vectors import EmbeddingLine, embed_line
    from kolo.cli.many import Many, run_many
    from kolo.config import load_settings
    from kolo.connect import Connection
    from kolo.errors import UsageError

    if texts or files or lines:
        raise UsageError(
            f"with --jsonl the texts are in {requests}", hint="leave out TEXT, --file and --lines"
        )
    if output not in (None, "jsonl"):
        raise UsageError(f"--jsonl has lines of JSON, and not -o {output}", hint="leave out -o")
    settings = load_settings()
    name = model or settings.embed.model

    async def answer(connection: Connection, content: Any, line: Line) -> EmbeddingLine:
        return await embed_line(connection, name, content, line, dimensions)

    return run_many(Many(source=requests, model=name, answer=answer, **options), settings)


def _embed_texts(
    output: str,
    *,
    texts: tuple[str, ...],
    model: str | None,
    files: tuple[Path, ...],
    lines: bool,
    dimensions: int | None,
    out: Path | None,
    retry_failed: bool,
    concurrency: int | None,
    timeout_s: float | None,
    retries: int | None,
    local: bool,
    url: str | None,
) -> int:
    from kolo.batch.retry import persistently
    from kolo.batch.runner import in_order
    from kolo.batch.vectors import embed
    from kolo.cli import loop
    from kolo.cli.many import CONCURRENCY, Progress
    from kolo.cli.vectors import Writer
    from kolo.config import load_settings
    from kolo.connect import connect
    from kolo.errors import UsageError
    from kolo.types import Embedded

    if out is not None:
        raise UsageError("--out is for --jsonl", hint=f"--jsonl IN, or > {out}")
    if retry_failed:
        raise UsageError("--retry-failed is for --jsonl", hint="--jsonl IN and --out FILE")
    gathered = _gather(texts, files, lines)
    settings = load_settings()
    name = model or settings.embed.model
    progress = Progress(len(gathered))
    writer = Writer(output, name, len(gathered))
    parts = [gathered[at : at + TEXTS_AT_ONCE] for at in range(0, len(gathered), TEXTS_AT_ONCE)]

    async def each() -> AsyncIterator[list[str]]:
        for part in parts:
            yield part

    async def run() -> None:
        async with connect(
            settings, local=local, url=url, model=name, watcher=progress, brief=len(parts) == 1
        ) as connection:

            async def work(part: list[str]) -> Embedded:
                return await persistently(
                    lambda: embed(connection, name, part, dimensions),
                    retries or 0,
                    told=progress.trouble,
                )

            async def emit(found: Embedded) -> None:
                await writer.add(found)
                progress.done(writer.n_taken)

            await in_order(each(), work, emit, concurrency=concurrency or CONCURRENCY)
            await writer.end()

    try:
        loop.run(run(), timeout_s=timeout_s)
    finally:
        progress.clear()
    return 0


def _gather(texts: tuple[str, ...], files: tuple[Path, ...], lines: bool) -> list[str]:
    """Every text, in the order of the help. UsageError when there is none."""
    from kolo.cli.prompt import piped, read_stdin, read_text
    from kolo.errors import UsageError

    found = [text for text in texts if text != "-"]
    reads = "-" in texts or (not texts and not files and piped())
    whole = [read_text(file, "--file") for file in files] + ([read_stdin()] if reads else [])
    for text in whole:
        if lines:
            found += [line.removesuffix("\r") for line in text.split("\n") if line.strip()]
        else:
            found.append(text.rstrip("\r\n"))
    if not any(text.strip() for text in found):
        raise UsageError(
            "there is no text", hint='kolo embed "What is a slot?", or pipe it in', param="TEXT"
        )
    return found
