"""What Ollama's layers say beside the weights, in Kolo's terms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import fields

from kolo.models.sources.plan import Extras
from kolo.types import Sampling, Stops

PREFIX = "application/vnd.ollama.image."

_SAMPLING = {item.name: item.type for item in fields(Sampling)}
_MAX_CTX = 2**27
_KNOWN = ("params", "template", "prompt", "system", "license")


def extras_of(texts: Sequence[tuple[str, bytes]]) -> Extras:
    """From layers, each a media type and what it holds. What cannot be used is listed as
    ignored, never dropped."""
    layers = {kind.removeprefix(PREFIX): body for kind, body in texts}
    licenses = [_text(body) for kind, body in texts if kind == f"{PREFIX}license"]
    given, ignored = _params(layers.get("params", b""))
    sampling: dict[str, Any] = {}
    ctx: int | None = None
    stop: list[str] = []
    for name, value in given.items():
        if name == "stop" and _fits(value, Stops):
            stop = value
        elif name == "num_ctx" and type(value) is int and 8 <= value <= _MAX_CTX:
            ctx = value
        elif name in _SAMPLING and _fits(value, _SAMPLING[name]):
            sampling[name] = value
        else:
            ignored.append(f"{name}={value!r}")
    return Extras(
        sampling=msgspec.convert(sampling, Sampling),
        ctx=ctx,
        stop=tuple(stop),
        system=_text(layers.get("system", b"")),
        template=_text(layers.get("template", layers.get("prompt", b""))),
        license=tuple(filter(None, licenses)),
        ignored=(*ignored, *sorted({*layers} - {*_KNOWN})),
    )


def _params(body: bytes) -> tuple[dict[str, Any], list[str]]:
    if not body:
        return {}, []
    try:
        return msgspec.json.decode(body, type=dict[str, Any]), []
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}, ["params, which cannot be read"]


def _fits(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return value is not None


def _text(body: bytes) -> str:
    return body.decode("utf-8", "replace").strip()
