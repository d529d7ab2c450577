"""``kolo complete --jsonl``: a line for each request, a line for each answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import Struct

from kolo.batch.answer import ask
from kolo.batch.record import completion, completion_line
from kolo.batch.request import id_of, request_of
from kolo.batch.run import Line
from kolo.cli.many import Many, run_many
from kolo.cli.recipe import recipe_of
from kolo.cli.template import template_of
from kolo.config import load_settings
from kolo.connect import Connection
from kolo.errors import UsageError


def complete_many(
    requests: Path,
    *,
    prompt: str | None,
    model: str | None,
    files: tuple[Path, ...],
    template: Path | None,
    variables: tuple[str, ...],
    variables_file: Path | None,
    as_json: bool,
    allow_cut: bool,
    out: Path | None,
    retry_failed: bool,
    concurrency: int | None,
    timeout_s: float | None,
    retries: int | None,
    local: bool,
    url: str | None,
    **options: Any,
) -> int:
    """``as_json`` is granted already: results are JSON whatever was asked."""
    if prompt is not None or files:
        raise UsageError(
            f"with --jsonl the prompts are in {requests}",
            hint="leave out PROMPT and --file, or put them into a --template",
        )
    recipe = recipe_of(**options)
    filled = template_of(template, variables, variables_file)
    fill = filled.fill if filled is not None else None
    settings = load_settings()
    name = model or settings.complete.model

    async def answer(connection: Connection, content: Any, line: Line) -> Struct:
        request = request_of(content, line.number, recipe, fill)
        asked = request.model or name
        found = await ask(connection, asked, request.op)
        record = completion(asked, request.op, found)
        return completion_line(line.index, id_of(content), record)

    return run_many(
        Many(
            source=requests,
            out=out,
            retry_failed=retry_failed,
            model=name,
            answer=answer,
            concurrency=concurrency,
            timeout_s=timeout_s,
            retries=retries,
            local=local,
            url=url,
            allow_cut=allow_cut,
        ),
        settings,
    )
