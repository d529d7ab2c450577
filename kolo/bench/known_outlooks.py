"""Outlooks that were measured on this machine, kept to be quoted before a download.

Each is a JSON document in the state folder, ``bench/shapes/KEY.json``, the key made of what
decides speed: dimensions, quantization, processor, cores, and the build of llama.cpp. A later
measurement takes the place of an earlier one.
"""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path

import msgspec
from msgspec.structs import asdict

from kolo.bench.dimensions import Dimensions
from kolo.bench.host import cpu_name
from kolo.bench.known import KNOWN
from kolo.bench.outlook import Outlook
from kolo.bench.quants import BASE_TYPES
from kolo.bench.report_outlook import short
from kolo.bench.shapes import named
from kolo.manager.machine import physical_cores
from kolo.models.header import Header
from kolo.whole import write_whole

_NOT_OF_SPEED = ("ctx_train", "rope_base", "rope_dim", "rope_factors", "window")
"""Dimensions that headers of the same shape may differ in."""


def remember(outlook: Outlook, state: Path) -> Path:
    """Write it down in the state folder."""
    key = _key(outlook.dimensions, outlook.quant, outlook.cpu, outlook.cores, outlook.llama_cpp)
    path = _folder(state) / f"{key}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, msgspec.json.encode(outlook))
    return path


def known_estimate(dimensions: Dimensions, quant: str, state: Path) -> Outlook | None:
    """What was measured on this machine, with this llama.cpp, for that shape and quantization
    (``Q4_K_M``); None if nothing was, or it was written by another version of Kolo."""
    key = _key(dimensions, quant, cpu_name(), physical_cores(), version("llama-cpp-python"))
    try:
        return msgspec.json.decode((_folder(state) / f"{key}.json").read_bytes(), type=Outlook)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def quote_file(header: Header, state: Path) -> str:
    """One line on the speed of a file on this machine; empty where nothing was measured."""
    dimensions = dimensions_of(header)
    found = dimensions and known_estimate(dimensions, header.quant, state)
    return short(found) if found else ""


def quote_name(reference: str, quant: str, state: Path) -> str:
    """The same before there is a file, by the name it will have; or how to find out. Empty for a
    name or a quantization whose shape cannot be made."""
    shape = named(reference)
    if shape is None or quant.upper() not in BASE_TYPES:
        return ""
    found = known_estimate(KNOWN[shape], quant.upper(), state)
    return short(found) if found else f"kolo bench --shape {shape}:{quant.lower()} would tell"


def dimensions_of(header: Header) -> Dimensions | None:
    """The dimensions of a file; None for an architecture whose shape cannot be made."""
    given = {
        "arch": header.architecture,
        "layers": header.n_layer,
        "embd": header.n_embd,
        "heads": max(header.n_head, default=0),
        "kv_heads": max(header.n_head_kv, default=0),
        "ff": max(header.per_layer("{arch}.feed_forward_length"), default=0),
        "vocab": header.n_vocab,
        "head_dim": header.head_k,
        "tied": all(tensor.name != "output.weight" for tensor in header.tensors),
        "ctx_train": header.n_ctx_train,
        "experts": header.integer("{arch}.expert_count"),
        "experts_used": header.integer("{arch}.expert_used_count"),
        "expert_ff": max(header.per_layer("{arch}.expert_feed_forward_length"), default=0),
        "window": header.sliding_window,
    }
    try:
        found = msgspec.convert(given, Dimensions)
    except msgspec.ValidationError:
        return None
    return None if found.problem() else found


def _key(dimensions: Dimensions, quant: str, cpu: str, cores: int, llama_cpp: str) -> str:
    sizes = asdict(dimensions) | {
        "kv_heads": dimensions.n_head_kv,
        "head_dim": dimensions.n_head_dim,
        "expert_ff": dimensions.n_expert_ff if dimensions.experts else 0,
    }
    if dimensions.experts:
        sizes["ff"] = 0  # of the layers without experts, which these architectures have none of
    for name in _NOT_OF_SPEED:
        del sizes[name]
    parts = msgspec.json.encode([sizes, quant, cpu, cores, llama_cpp])
    return hashlib.sha256(parts).hexdigest()[:24]


def _folder(state: Path) -> Path:
    return state / "bench" / "shapes"
