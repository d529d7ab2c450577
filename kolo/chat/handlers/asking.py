"""Commands on how answers are asked for: the model, the parameters, the system message."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kolo.chat.attach import attach
from kolo.chat.choices import KEYS, known_key
from kolo.chat.stats import duration, rate, short_count
from kolo.chat.talk import Next, Talk
from kolo.errors import UsageError
from kolo.types import Constraint


async def model(talk: Talk, rest: str) -> Next:
    if not rest:
        names = await talk.names()
        marked = [f"{'*' if name == talk.model else ' '} {name}" for name in names]
        talk.screen.note("\n".join([*marked, "/model NAME talks with another from now on"]))
        return None
    await talk.choose(_whole_path(rest))
    n = len(talk.conversation)
    stays = f", which reads the {n} turns so far" if n else ""
    talk.screen.note(f"now {talk.model} · {short_count(talk.n_ctx)} tokens of context{stays}")
    talk.save()
    return None


async def set_(talk: Talk, rest: str) -> Next:
    name, _, value = rest.partition(" ")
    chosen = talk.choices.chosen()
    if not name:
        rows = [f"  {key} {_shown(chosen[key])}" for key in KEYS if key in chosen]
        others = ", ".join(key for key in KEYS if key not in chosen)
        talk.screen.note("\n".join([*rows, f"as the model has it: {others}"]))
    elif not value.strip():
        key = known_key(name)
        talk.screen.note(f"{key} {_shown(chosen[key]) if key in chosen else 'as the model has it'}")
    else:
        key = known_key(name)
        talk.choices.set(key, value.strip())
        chosen = talk.choices.chosen()
        talk.screen.note(f"{key} {_shown(chosen[key]) if key in chosen else 'as the model has it'}")
        talk.save()
    return None


async def system(talk: Talk, rest: str) -> Next:
    conversation = talk.conversation
    if not rest:
        talk.screen.note(conversation.system or "there is no system message: /system TEXT")
        return None
    if rest == "-":
        conversation.system = None
        talk.screen.note("no system message any more")
    else:
        conversation.system = attach(rest[1:]).text.strip() if rest.startswith("@") else rest
        talk.screen.note("the system message is set; /system shows it, /system - removes it")
    talk.forget_size()
    talk.save()
    return None


async def think(talk: Talk, rest: str) -> Next:
    how = rest.lower()
    if how in ("show", "hide"):
        talk.screen.show_thoughts = how == "show"
        talk.screen.note("thoughts are shown" if how == "show" else "thoughts are not shown")
        return None
    if how:
        talk.choices.think(how)
        talk.save()
    shown = "" if talk.screen.show_thoughts else ", not shown"
    talk.screen.note(f"thinking: {talk.choices.thinking()}{shown}")
    return None


async def stats(talk: Talk, rest: str) -> Next:
    if rest.lower() in ("on", "off"):
        talk.stats = rest.lower() == "on"
        talk.screen.note(f"the line after each answer is {rest.lower()}")
        return None
    if rest:
        raise UsageError(f"/stats does not know {rest!r}", hint="/stats, /stats on or /stats off")
    totals = talk.totals
    if not totals.answers:
        talk.screen.note("no answer yet")
        return None
    computed = totals.prompt_tokens - totals.cached_tokens
    rows = [
        f"{totals.answers} answers, {short_count(totals.completion_tokens)} tokens",
        f"  written at {_rate(totals.completion_tokens - totals.answers, totals.decode_ms)}",
        f"  prompts: {short_count(totals.prompt_tokens)} tokens, of which "
        f"{short_count(totals.cached_tokens)} were cached; the rest read at "
        f"{_rate(computed, totals.prefill_ms)}",
        f"  {duration(totals.decode_ms + totals.prefill_ms)} of work",
    ]
    talk.screen.note("\n".join(rows))
    return None


async def json_(talk: Talk, rest: str) -> Next:
    if rest == "off":
        talk.choices.constraint = None
        talk.screen.note("answers are free again")
    elif rest == "on":
        talk.choices.constraint = Constraint(json_object=True)
        talk.screen.note("answers are JSON objects")
    elif rest:
        talk.choices.constraint = Constraint(json_schema=_schema(rest))
        talk.screen.note("answers are JSON that fits the schema; /json off frees them")
    else:
        talk.screen.note(_constraint_text(talk.choices.constraint))
    talk.save()
    return None


def _whole_path(name: str) -> str:
    """A file's path as every process takes it; a name as it is."""
    path = Path(name)
    if path.suffix.lower() == ".gguf" or name.startswith(("~", ".", "/")):
        try:
            return str(path.expanduser().absolute())
        except RuntimeError as error:
            raise UsageError(f"{name}: {error}") from None
    return name


def _schema(text: str) -> dict[str, Any] | bool:
    """A schema as it is, or that of a file."""
    source = text if text.lstrip().startswith("{") else attach(text).text
    try:
        found = json.loads(source)
    except json.JSONDecodeError as error:
        raise UsageError(
            f"no JSON: line {error.lineno}, column {error.colno}: {error.msg}",
            hint='/json FILE, or /json {"type": "object", ...}',
        ) from None
    if not isinstance(found, (dict, bool)):
        raise UsageError(
            "a JSON Schema is an object, true or false", hint='/json {"type": "object"}'
        )
    return found


def _constraint_text(limit: Constraint | None) -> str:
    if limit is None:
        return "answers are free: /json on, /json FILE or /json SCHEMA"
    if limit.json_schema is None:
        return "answers are JSON objects"
    return f"answers fit {json.dumps(limit.json_schema, ensure_ascii=False)}"


def _rate(n: int, ms: float) -> str:
    return f"{rate(n, ms)} tok/s" if ms > 0 else "no rate to tell"


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
