"""``kolo complete`` with one prompt."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec

from kolo.batch.answer import Answer, ask
from kolo.batch.retry import persistently
from kolo.cli import loop
from kolo.cli.output import look, talk
from kolo.cli.partial import exit_code_of, not_whole
from kolo.cli.prompt import gather, piped
from kolo.cli.recipe import recipe_of
from kolo.cli.screen import StandardScreen
from kolo.config import Settings, load_settings
from kolo.connect import Connection, connect
from kolo.errors import KoloError, UsageError
from kolo.types import Delta, Generate


def complete_once(
    prompt: str | None,
    *,
    model: str | None,
    files: tuple[Path, ...],
    template: Path | None,
    variables: tuple[str, ...],
    variables_file: Path | None,
    as_json: bool,
    out: Path | None,
    retry_failed: bool,
    concurrency: int | None,
    timeout_s: float | None,
    retries: int | None,
    allow_cut: bool,
    local: bool,
    url: str | None,
    **options: Any,
) -> int:
    """Files are read before standard input is waited for, and that before the settings."""
    _check(out, retry_failed, concurrency, as_json, options["logprobs"])
    recipe = recipe_of(**options)
    text = _text(prompt, files, template, variables, variables_file, raw=recipe.raw)
    op = recipe.of_text(text)
    settings = load_settings()
    name = model or settings.complete.model
    documents = as_json and options["schema"] is not None and not op.logprobs
    asking = _Asking(settings, name, op, local=local, url=url, silent=as_json, retries=retries or 0)
    answer = loop.run(asking.run(), timeout_s=timeout_s)
    if as_json and not documents:
        from kolo.batch.record import completion

        _write(msgspec.json.encode(completion(name, op, answer)))
    cut = next((each for each in answer.choices if each.finish == "length"), answer.choices[0])
    otherwise = "" if documents else "; --allow-cut takes it as whole"
    code = 0 if allow_cut else exit_code_of(cut, op, otherwise=otherwise)
    return _write_documents(answer, op) if documents and code == 0 else code


def _check(
    out: Path | None,
    retry_failed: bool,
    concurrency: int | None,
    as_json: bool,
    logprobs: int | None,
) -> None:
    given = {"--out": out, "--retry-failed": retry_failed or None, "--concurrency": concurrency}
    for option in (option for option, value in given.items() if value is not None):
        raise UsageError(f"{option} is for --jsonl", hint=f"--jsonl IN, or no {option}")
    if logprobs is not None and not as_json:
        raise UsageError("--logprobs needs --json", hint=f"--logprobs {logprobs} --json")


def _text(
    prompt: str | None,
    files: tuple[Path, ...],
    template: Path | None,
    variables: tuple[str, ...],
    variables_file: Path | None,
    *,
    raw: bool,
) -> str:
    if template is None and not variables and variables_file is None:
        return gather(prompt, files=files, raw=raw)
    from kolo.cli.template import INPUT, template_of

    given = template_of(template, variables, variables_file)
    assert given is not None
    if given.takes_input and (prompt is not None or files or piped()):
        return given.fill({INPUT: gather(prompt, files=files)})
    if prompt is not None or files:
        raise UsageError(
            f"--template {template} has no {{{{ {INPUT} }}}} for PROMPT and --file to go to",
            hint=f"{{{{ {INPUT} }}}} in the template",
            param="--template",
        )
    return given.fill({})


class _Asking:
    """One request, tried again as long as nothing of its answer has been shown."""

    def __init__(
        self,
        settings: Settings,
        model: str,
        op: Generate,
        *,
        local: bool,
        url: str | None,
        silent: bool,
        retries: int,
    ) -> None:
        self._settings, self._model, self._op = settings, model, op
        self._local, self._url = local, url
        self._retries = retries
        self._one_by_one = not silent and op.n > 1
        self._screen = StandardScreen(silent=silent)
        self._shown = False
        self._connection: Connection | None = None

    async def run(self) -> Answer:
        with self._screen:
            async with AsyncExitStack() as held:
                return await persistently(
                    lambda: self._attempt(held),
                    self._retries,
                    may_repeat=lambda: not self._shown,
                    told=self._tell,
                )

    async def _attempt(self, held: AsyncExitStack) -> Answer:
        screen = self._screen
        if self._connection is None:
            self._connection = await held.enter_async_context(
                connect(
                    self._settings,
                    local=self._local,
                    url=self._url,
                    model=self._model,
                    watcher=screen,
                    brief=True,
                )
            )
        screen.waiting()
        answer = await ask(self._connection, self._model, self._op, self._show)
        for choice in answer.choices if self._one_by_one else ():
            await screen.text(choice.text)
            await screen.end()
        await screen.end()
        return answer

    async def _show(self, delta: Delta) -> None:
        """Streams that come side by side cannot be shown as they come."""
        if not self._one_by_one:
            self._shown = self._shown or bool(delta.text)
            await self._screen.reasoning(delta.reasoning)
            await self._screen.text(delta.text)

    def _tell(self, error: KoloError, pause_s: float) -> None:
        again = f"{error.message}; trying again in {pause_s:.1f} s"
        if look(sys.stderr).terminal:
            self._screen.note(again)
        else:
            talk(again)


def _write_documents(answer: Answer, op: Generate) -> int:
    """The answers as JSON documents, their numbers and strings as the model wrote them; several
    are an array."""
    try:
        found = [msgspec.json.format(choice.text.encode(), indent=2) for choice in answer.choices]
    except msgspec.DecodeError as error:
        return not_whole(
            f"the answer is not whole JSON: {error}",
            "without --json, to see it as it is (a --stop may have cut it)",
        )
    _write(found[0] if op.n == 1 else b"[" + b",".join(found) + b"]")
    return 0


def _write(document: bytes) -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(msgspec.json.format(document, indent=2) + b"\n")
    sys.stdout.buffer.flush()
