"""What the options of ``kolo bench`` ask for, checked before anything is started."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from kolo.beacon import checked_url
from kolo.bench.acquaint import Address
from kolo.bench.constrained import Constrained, FromFile
from kolo.bench.goals import parse_goal
from kolo.bench.result import Load
from kolo.bench.runner import Plan
from kolo.bench.sessions import Workload
from kolo.bench.workloads import Conversation, Fixed, Interference, Mixed, SharedPrefix
from kolo.cli.prompt import read_schema
from kolo.errors import UsageError
from kolo.units import parse_duration

SHORT_PROMPT_TOKENS = 64
PROMPT_TOKENS = 512
OUTPUT_TOKENS = 128
CHAT_OUTPUT_TOKENS = 64
PREFIX_TOKENS = 1000
LONG_TOKENS = 2000
TURNS = 10


def plan_of(
    *,
    concurrency: str | None,
    rate: str | None,
    arrival: Literal["poisson", "constant"] | None,
    sweep: bool,
    goals: tuple[str, ...],
    requests: int | None,
    duration: str | None,
    rounds: int,
    warmup: int,
    seed: int,
    **work: Any,
) -> Plan:
    """UsageError for what cannot be, or cannot be together."""
    if sum((concurrency is not None, rate is not None, sweep)) > 1:
        raise UsageError(
            "-c, --rate and --sweep each say what the load is", hint="leave out all but one"
        )
    if arrival is not None and rate is None:
        raise UsageError("--arrival goes with a --rate", hint="--rate 5")
    loads = _loads(concurrency, rate, arrival or "poisson")
    workloads = workloads_of(**work)
    kinds = {each.info.kind for each in workloads}
    most = max((load.concurrency or 1) for load in loads)
    if requests is not None and requests < most:
        raise UsageError(
            f"-n {requests} is too few for -c {most}: some users would never send",
            hint=f"-n {2 * most}",
        )
    if rate is not None and "interference" in kinds:
        raise UsageError("interference goes by users, not by a rate", hint="-c 8")
    if kinds == {"interference"} and (requests or duration):
        raise UsageError(
            "a round of interference is one answer for each user, and the long prompt",
            hint="--rounds to repeat it, in place of -n and --duration",
        )
    return Plan(
        workloads=workloads,
        loads=sorted(loads, key=lambda load: load.rate or load.concurrency or 0),
        rounds=rounds,
        requests=requests,
        duration_s=None if duration is None else _duration(duration),
        warmup=warmup,
        goals=[parse_goal(goal) for goal in goals],
        sweep=sweep,
        seed=seed,
    )


def workloads_of(
    *,
    workloads: tuple[str, ...],
    file: Path | None,
    schema: Path | None,
    prompt_tokens: int | None,
    output_tokens: int | None,
    prefix_tokens: int | None,
    long_tokens: int | None,
    turns: int | None,
) -> list[Workload]:
    """The workloads in the order in which they were named; UsageError for a file that is none."""
    if schema is not None and "json" not in workloads:
        workloads = (*workloads, "json")
    names = workloads or (() if file is not None else ("fixed",))
    _check_used("prefix", names, {"--prefix-tokens": prefix_tokens})
    _check_used("chat", names, {"--turns": turns})
    _check_used("interference", names, {"--long-tokens": long_tokens})
    if not names and (prompt_tokens or output_tokens):
        raise UsageError("the requests of --file have their own lengths", hint="leave out -p")
    prompt, short = prompt_tokens or PROMPT_TOKENS, prompt_tokens or SHORT_PROMPT_TOKENS
    output = output_tokens or OUTPUT_TOKENS
    made: list[Workload] = []
    for name in dict.fromkeys(names):
        match name:
            case "prefix":
                made.append(SharedPrefix(prefix_tokens or PREFIX_TOKENS, short, output))
            case "chat":
                answer = output_tokens or CHAT_OUTPUT_TOKENS
                made.append(Conversation(turns or TURNS, short, answer))
            case "interference":
                made.append(Interference(short, output, long_tokens or LONG_TOKENS))
            case "mixed":
                made.append(Mixed(prompt, output))
            case "json":
                given = None if schema is None else read_schema(schema)
                made.append(
                    Constrained(prompt, output, given, "" if schema is None else schema.name)
                )
            case _:
                made.append(Fixed(prompt, output))
    if file is not None:
        made.append(FromFile(file))
    return made


def _check_used(workload: str, names: Sequence[str], options: dict[str, Any]) -> None:
    """UsageError for an option of a workload that is not asked for."""
    for option, value in options.items():
        if value is not None and workload not in names:
            raise UsageError(f"{option} is for the workload {workload}", hint=f"-w {workload}")


def depths_of(text: str | None) -> tuple[int, ...]:
    """Tokens that sequences hold, of ``--depth``."""
    if text is None:
        return ()
    return tuple(dict.fromkeys(_positive(part, "--depth", int) for part in text.split(",")))


def addresses_of(
    urls: Sequence[str], models: Sequence[str], api_keys: Sequence[str], *, reserved: str | None
) -> list[Address]:
    """The targets of ``--url``, with their models and keys. ``reserved`` is the name that a
    server of this run's own will have."""
    named = [_named_url(url) for url in urls]
    names = [name for name, _ in named]
    taken = names + ([reserved] if reserved else [])
    for name in names:
        if taken.count(name) > 1:
            raise UsageError(
                f"two targets are named {name!r}", hint="--url NAME=URL gives each a name"
            )
    models_by = for_targets(models, taken)
    return [
        Address(
            name=name,
            url=url,
            kind="openai",
            model=models_by(name),
            api_key=key_for(name, api_keys, taken),
        )
        for name, url in named
    ]


def for_targets(given: Sequence[str], names: Sequence[str]) -> Any:
    """A function from a target's name to what was given for it, or for all; the last wins."""
    common: str | None = None
    own: dict[str, str] = {}
    for text in given:
        name, separator, value = text.partition("=")
        if separator and name in names:
            own[name] = value
        else:
            common = text
    return lambda name: own.get(name, common)


def key_for(name: str, given: Sequence[str], names: Sequence[str]) -> str:
    """The key of a target, empty if it has none. UsageError for a file that cannot be read."""
    key: str | None = for_targets(given, names)(name)
    return _key(key or "")


def body_of(text: str | None) -> dict[str, Any]:
    """``--body`` as an object. UsageError if it is none."""
    if text is None:
        return {}
    try:
        body: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise UsageError(f"--body is no JSON object: {error}", hint='{"temperature": 1}') from None
    return body


def _loads(
    concurrency: str | None, rate: str | None, arrival: Literal["poisson", "constant"]
) -> list[Load]:
    if rate is not None:
        rates = [_positive(text, "--rate", float) for text in rate.split(",")]
        return [Load(rate=each, arrival=arrival) for each in dict.fromkeys(rates)]
    users = [_positive(text, "-c", int) for text in (concurrency or "1").split(",")]
    return [Load(concurrency=each) for each in dict.fromkeys(users)]


def _positive(text: str, option: str, kind: Any) -> Any:
    try:
        value = kind(text)
    except ValueError:
        value = 0
    if not 0 < value <= 100_000:
        raise UsageError(f"{option}: {text!r} is no number from 1 on", hint=f"{option} 1,8,32")
    return value


def _duration(text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--duration {text!r}: {error}", hint="30s") from None
    if seconds <= 0:
        raise UsageError("--duration 0 would measure nothing", hint="30s")
    return seconds


def _named_url(text: str) -> tuple[str, str]:
    name, separator, url = text.partition("=")
    if not separator or "/" in name or ":" in name:
        url = checked_url(text, "--url")
        return url.partition("://")[2], url
    return name, checked_url(url, "--url")


def _key(text: str) -> str:
    if not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).expanduser().read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--api-key {text}: cannot be read: {error}") from error
