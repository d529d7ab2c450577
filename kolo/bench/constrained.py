"""Workloads whose requests come from outside: a JSON Schema to satisfy, a file of requests."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from kolo.bench.request import CHAT, COMPLETIONS, Ask
from kolo.bench.result import WorkloadInfo
from kolo.bench.sessions import Lane, Session, alone
from kolo.bench.workloads import Independent
from kolo.errors import UsageError

LONGEST_WORD = 6
"""Of what JSON has besides strings: an escape such as \\u00e9, which may be cut inside."""
OBJECT_TOKENS = 8
"""The least that one object of the built-in schema takes, so that an answer is long enough."""


class Constrained(Independent):
    """Answers that must satisfy a JSON Schema. The built-in one cannot be satisfied before the
    length limit, so that the rate can be set against that of free text."""

    def __init__(
        self, prompt_tokens: int, output_tokens: int, schema: Any = None, name: str = ""
    ) -> None:
        self._prompt, self._output = prompt_tokens, output_tokens
        self._check = _is_json if schema is not None else _is_begun
        self._schema = schema if schema is not None else _list_of(output_tokens // OBJECT_TOKENS)
        about = f"the schema in {name}" if name else "a list of objects, cut by the limit"
        self.info = WorkloadInfo(
            name=f"json {prompt_tokens}/{output_tokens}" + (f" {name}" if name else ""),
            kind="json",
            prompt_tokens=prompt_tokens,
            output_tokens=output_tokens,
            about=f"prompts of {prompt_tokens} tokens, answers of at most {output_tokens} that fit "
            f"{about}; what does not fit is an error",
        )

    def sessions(self, lane: Lane, round_index: int, n: int) -> Iterator[Session]:
        named = {"name": "answer", "strict": True, "schema": self._schema}
        form = {"type": "json_schema", "json_schema": named}
        for number in range(n):
            text = lane.prompter.text(self._prompt, key=(round_index, number))
            ask = lane.chat([{"role": "user", "content": text.strip()}], self._output)
            body = {**ask.body, "response_format": form}
            body.pop("ignore_eos", None)  # the end of the document is to end the answer
            yield alone(replace(ask, body=body, check=self._check, keep_text=False))


class FromFile(Independent):
    """Requests as somebody wrote them down."""

    def __init__(self, file: Path) -> None:
        self._asks = read_requests(file)
        self.info = WorkloadInfo(
            name=f"file {file.name}",
            kind="file",
            about=f"the {len(self._asks)} requests of {file.name} in turn, lengths as they say",
        )

    def sessions(self, lane: Lane, round_index: int, n: int) -> Iterator[Session]:
        for ask in itertools.islice(itertools.cycle(self._asks), n):
            yield alone(ask)

    def count(self, concurrency: int) -> int | None:
        return len(self._asks)


def read_requests(file: Path) -> list[Ask]:
    """The requests of a JSONL file: on each line a body of /v1/chat/completions or of
    /v1/completions, or such a body in OpenAI's batch form (``{"url": …, "body": …}``).

    UsageError names the line that is none.
    """
    asks = []
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            asks.append(_ask_of(line, f"{file}:{number}"))
    if not asks:
        raise UsageError(f"{file}: holds no request")
    return asks


def _ask_of(line: bytes, where: str) -> Ask:
    hint = 'one JSON object a line, such as {"messages": [{"role": "user", "content": "Hello"}]}'
    try:
        body = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{where}: is no JSON: {error}", hint=hint) from None
    url = None
    if isinstance(body, dict) and isinstance(body.get("body"), dict):
        url, body = body.get("url"), body["body"]
    if not isinstance(body, dict):
        raise UsageError(f"{where}: is no JSON object", hint=hint)
    if url not in (None, CHAT, COMPLETIONS):
        raise UsageError(f"{where}: url {url!r} is not {CHAT} or {COMPLETIONS}")
    if isinstance(body.get("messages"), list) and url != COMPLETIONS:
        return Ask(path=CHAT, body=body)
    if "prompt" in body and url != CHAT:
        return Ask(path=COMPLETIONS, body=body)
    raise UsageError(f'{where}: has neither "messages" nor "prompt"', hint=hint)


def _list_of(n_items: int) -> dict[str, Any]:
    item = {
        "type": "object",
        "properties": {
            "id": {"type": "integer"},
            "name": {"type": "string"},
            "state": {"enum": ["open", "closed"]},
        },
        "required": ["id", "name", "state"],
        "additionalProperties": False,
    }
    return {"type": "array", "items": item, "minItems": n_items + 1}


def _is_json(text: str, cut: bool) -> str:
    """What is wrong with a document; of one that was cut, with what there is of it."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        whole_so_far = error.msg.startswith("Unterminated string") or (
            error.pos >= len(text.rstrip()) - LONGEST_WORD
        )
        if not (cut and whole_so_far):
            return f"the answer is no JSON: {error}"
    return ""


def _is_begun(text: str, cut: bool) -> str:
    """What is wrong with a list of objects, of which the end may be missing."""
    if not text.lstrip().startswith("["):
        return "the answer is no list"
    return _is_json(text, cut)
