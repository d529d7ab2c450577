"""Getting to know a target before it is measured: is it there, which model, how it counts.

Everything here is asked before the first counted request, so that a wrong key, a wrong name or
a missing route ends the run at once with the error that it is.
"""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import quote

import msgspec
from msgspec import Struct

from kolo.bench.client import Client
from kolo.bench.prompts import WORDS, Lengths, Prompter, pool_of, tokenize_bodies
from kolo.bench.request import Ask, status_error
from kolo.bench.result import ErrorKind, Sample, Target, TargetKind
from kolo.bench.wire import Endpoint, Reply, WireError
from kolo.errors import AuthFailed, KoloError, ModelNotFound, ServerUnreachable, UsageError

PROBE_WORDS = 24
GUESSED_PER_WORD = 1.3
"""Tokens of an English word, where nobody tells."""


class Address(Struct, frozen=True, kw_only=True):
    """Whom to get to know."""

    name: str
    url: str
    kind: TargetKind
    model: str | None = None
    """None takes the only one there is."""
    api_key: str = ""
    pid: int | None = None
    """Of the server, where it is known."""


class Manner(Struct, frozen=True, kw_only=True):
    """How every target is asked."""

    api: Literal["auto", "completions", "chat"] = "auto"
    body: dict[str, Any] = {}
    seed: int = 0
    cached: bool = False
    silence_s: float = 600.0


class _Model(Struct, frozen=True):
    id: str
    aliases: list[str] = []


class _Models(Struct, frozen=True):
    data: list[_Model] = []


class _Generation(Struct, frozen=True):
    n_ctx: int | None = None


class _Props(Struct, frozen=True):
    build_info: str = ""
    total_slots: int | None = None
    model_path: str = ""
    model_ftype: str = ""
    default_generation_settings: _Generation = _Generation()


class _Version(Struct, frozen=True):
    version: str


async def acquaint(address: Address, manner: Manner) -> Client:
    """A client for the target. ServerUnreachable, AuthFailed, ModelNotFound, or UsageError where
    several models could be meant; KoloError for a target that answers nothing of use."""
    bearer = {"Authorization": f"Bearer {address.api_key}"} if address.api_key else {}
    endpoint = Endpoint(address.url, bearer)
    try:
        model = await _model(endpoint, address)
        target = Target(name=address.name, kind=address.kind, url=address.url, model=model)
        await _describe(endpoint, target)
        pool = await _pool(endpoint, model)
        client = Client(
            target,
            endpoint,
            Prompter(Lengths(pool=pool or WORDS), manner.seed, cached=manner.cached),
            body=manner.body,
            silence_s=manner.silence_s,
            pid=address.pid,
        )
        await _learn(client, manner, exact=bool(pool))
    except BaseException:
        endpoint.close()
        raise
    return client


def error_of(name: str, kind: ErrorKind, detail: str) -> KoloError:
    """The error that ends a run, for one that a request met."""
    what = f"{name}: {detail}"
    match kind:
        case "unreachable":
            return ServerUnreachable(what, hint="Look at the address, and whether it runs.")
        case "auth":
            return AuthFailed(what, hint="--api-key KEY, or --api-key NAME=KEY for one of several")
        case "not_found":
            return ModelNotFound(what, hint="-m MODEL, or -m NAME=MODEL for one of several")
        case "refused":
            return UsageError(what)
    return KoloError(f"{what} ({kind})")


async def _model(endpoint: Endpoint, address: Address) -> str:
    reply = await _get(endpoint, "/v1/models")
    if isinstance(reply, WireError):
        raise error_of(address.name, reply.kind, f"{reply.detail} at {address.url}")
    if reply.status in (401, 403):
        raise error_of(address.name, *status_error(reply))
    listed: list[_Model] = (_read(reply, _Models) or _Models()).data
    names = [model.id for model in listed]
    if address.model is not None:
        known = {name for model in listed for name in (model.id, *model.aliases)}
        if known and address.model not in known and f"{address.model}:latest" not in known:
            shown = ", ".join(names[:8]) + (" …" if len(names) > 8 else "")
            raise ModelNotFound(
                f"{address.name} has no model {address.model!r}", hint=f"-m with one of: {shown}"
            )
        return address.model
    if len(names) == 1:
        return names[0]
    if not names:
        raise UsageError(f"{address.name} does not say which models it has", hint="-m MODEL")
    raise UsageError(
        f"{address.name} has {len(names)} models", hint=f"-m with one of: {', '.join(names[:8])}"
    )


async def _describe(endpoint: Endpoint, target: Target) -> None:
    """What the server says of itself, in llama-server's way, vLLM's or Ollama's."""
    props = await _ask(endpoint, f"/props?model={quote(target.model, safe='')}", _Props)
    if props is not None:
        target.build = props.build_info
        target.slots = props.total_slots
        target.n_ctx = props.default_generation_settings.n_ctx or None
        target.model_path = props.model_path if props.model_path != "none" else ""
        if props.model_ftype:
            target.settings["ftype"] = props.model_ftype
        return
    for path, product in (("/version", "vllm"), ("/api/version", "ollama")):
        told = await _ask(endpoint, path, _Version)
        if told is not None:
            target.build = f"{product} {told.version}"
            return


async def _pool(endpoint: Endpoint, model: str) -> tuple[str, ...]:
    for body in tokenize_bodies(model):
        try:
            reply = await endpoint.ask("POST", "/tokenize", msgspec.json.encode(body))
        except WireError:
            return ()
        if reply.status == 200 and (pool := pool_of(reply.body)):
            return pool
    return ()


async def _learn(client: Client, manner: Manner, *, exact: bool) -> None:
    """Ask twice, as the run will, to see what is understood and how prompts are counted."""
    target = client.target
    target.api = "chat" if manner.api == "chat" else "completions"
    target.fixed_outputs = True
    one = await _first_answer(client, manner)
    two = await _probe(client, 2 * PROBE_WORDS)
    if two.error is not None:
        raise error_of(target.name, two.error, two.detail)
    target.fixed_outputs = target.fixed_outputs and one.output_tokens == 4 == two.output_tokens
    pool = client.prompter.lengths.pool
    if one.prompt_tokens is None or two.prompt_tokens is None:
        lengths = Lengths(pool=pool, per_word=1.0 if exact else GUESSED_PER_WORD)
    else:
        per_word = (two.prompt_tokens - one.prompt_tokens) / PROBE_WORDS
        exact = exact and per_word == 1.0
        overhead = max(round(one.prompt_tokens - per_word * PROBE_WORDS), 0)
        lengths = Lengths(pool=pool, per_word=max(per_word, 0.1), overhead=overhead, exact=exact)
    target.exact_prompts = lengths.exact
    client.prompter.lengths = lengths


async def _first_answer(client: Client, manner: Manner) -> Sample:
    """The first request that is understood; what is not is left out from then on."""
    target = client.target
    while True:
        sample = await _probe(client, PROBE_WORDS)
        if sample.error is None:
            return sample
        if sample.error == "refused" and "ignore_eos" in sample.detail and target.fixed_outputs:
            target.fixed_outputs = False
        elif sample.error == "refused" and "stream_options" in sample.detail and client.usage:
            client.usage = False
        elif _wants_chat(sample) and target.api == "completions" and manner.api == "auto":
            target.api = "chat"
        else:
            raise error_of(target.name, sample.error, sample.detail)


def _wants_chat(sample: Sample) -> bool:
    """Whether a text completion failed because the server, or the model, has none."""
    said = sample.detail.lower()
    return sample.error in ("not_found", "refused") and (
        "chat" in said or "model" not in said or sample.detail.startswith("405")
    )


async def _probe(client: Client, n_words: int) -> Sample:
    text = client.prompter.words(n_words, key=("probe", n_words))
    ask: Ask = client.plain(text, 4)
    return (await client.send(ask, round_began=0.0)).sample


async def _ask(endpoint: Endpoint, path: str, type_: Any) -> Any:
    reply = await _get(endpoint, path)
    return None if isinstance(reply, WireError) else _read(reply, type_)


async def _get(endpoint: Endpoint, path: str) -> Reply | WireError:
    try:
        return await endpoint.ask("GET", path)
    except WireError as error:
        return error


def _read(reply: Reply, type_: Any) -> Any:
    """The body of a good answer as ``type_``, else None."""
    if reply.status != 200:
        return None
    try:
        return msgspec.json.decode(reply.body, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
