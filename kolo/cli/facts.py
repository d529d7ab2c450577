"""What the header of a model, the store and the machine say together."""

from __future__ import annotations

import os
from collections import Counter

from msgspec import Struct
from msgspec.structs import replace

from kolo.bench.known_outlooks import quote_file
from kolo.config import Settings
from kolo.manager.gauge import charged
from kolo.manager.machine import available
from kolo.manager.memory import default_parallel, estimate
from kolo.manager.saved import folder_of, saved_of
from kolo.models.gguf import shard_paths
from kolo.models.header import Header
from kolo.models.known import aliases
from kolo.models.resolve import ModelSpec
from kolo.models.store import store_of
from kolo.paths import find_paths
from kolo.types import Sampling

CONTEXTS = (2048, 8192, 32768, 131072)
PURPOSES = {"generate": "generates text", "embedding": "embeds text", "rerank": "ranks texts"}
_SPECIALS = {"bos": "bos", "eos": "eos", "eot": "eot", "padding": "pad", "unknown": "unk"}


class Memory(Struct, kw_only=True):
    ctx: int
    """Tokens for each request."""
    total_bytes: int
    kv_bytes: int
    device_bytes: int
    fits: bool
    """In what is free now."""


class Tokenizer(Struct, kw_only=True):
    kind: str
    n_tokens: int
    specials: dict[str, str]
    """``bos``, ``eos`` and so on, as text."""


class KnownVersion(Struct, kw_only=True):
    id: str
    added_at: float
    source: str
    revision: str
    size_bytes: int
    in_use: bool


class Facts(Struct, kw_only=True):
    """Sizes in bytes, times in seconds since 1970."""

    name: str
    place: str
    source: str
    path: str
    size_bytes: int
    n_files: int
    title: str
    architecture: str
    purpose: str
    quant: str
    n_params: int
    n_ctx_train: int
    n_layer: int
    n_embd: int
    shape: str
    tensor_types: dict[str, int]
    """How many tensors of each, the commonest first."""
    tokenizer: Tokenizer
    templates: list[str]
    template_chars: int
    license: str
    aliases: list[str]
    versions: list[KnownVersion]
    extras: dict[str, str]
    """What was published beside the weights."""
    refusal: str
    """Why it cannot be loaded; empty if it can."""
    parallel: int
    memory: list[Memory]
    memory_free_bytes: int
    saved_prefixes: int
    """How many the engine of this name had cached when it was last unloaded."""
    saved_bytes: int
    speed: str
    """What kolo bench --shape has measured for this shape on this machine; empty if nothing."""


def facts(spec: ModelSpec, header: Header, settings: Settings) -> Facts:
    """All of it. Raises ModelInvalid for a header that contradicts itself."""
    further = aliases(settings)
    templates = header.chat_templates
    stored = store.models().get(spec.stored) if (store := store_of(settings)) else None
    free = available().available_bytes
    parallel = spec.params.parallel or default_parallel(header)
    saved = saved_of(folder_of(find_paths(os.environ).prefixes, spec.id, spec.path))
    return Facts(
        name=spec.title,
        place=spec.source,
        source=stored.version.source if stored else "",
        path=str(spec.path),
        size_bytes=header.file_bytes,
        n_files=len(shard_paths(spec.path)),
        title=header.name,
        architecture=header.architecture,
        purpose=PURPOSES[header.kind],
        quant=header.quant,
        n_params=header.n_params,
        n_ctx_train=header.n_ctx_train,
        n_layer=header.n_layer,
        n_embd=header.n_embd,
        shape=_shape(header),
        tensor_types=dict(Counter(tensor.type for tensor in header.tensors).most_common()),
        tokenizer=_tokenizer(header),
        templates=list(templates),
        template_chars=len(next(iter(templates.values()), "")),
        license=header.text("general.license"),
        aliases=[*spec.aliases, *(a for a, target in further.items() if target == spec.id)],
        versions=[
            KnownVersion(
                id=version.id,
                added_at=version.added_at,
                source=version.source,
                revision=version.revision,
                size_bytes=version.size_bytes,
                in_use=stored is not None and version == stored.version,
            )
            for version in (stored.versions if stored else ())
        ],
        extras=_extras(spec, settings),
        refusal=header.refusal(),
        parallel=parallel,
        memory=[] if header.refusal() else _memory(spec, header, parallel, free),
        memory_free_bytes=free,
        saved_prefixes=saved.n,
        saved_bytes=saved.n_bytes,
        speed=quote_file(header, find_paths(os.environ).state),
    )


def _memory(spec: ModelSpec, header: Header, parallel: int, free: int) -> list[Memory]:
    found = []
    most = header.n_ctx_train or CONTEXTS[1]
    params = charged(replace(spec.params, parallel=parallel))
    for ctx in sorted({*(c for c in CONTEXTS if c < most), min(most, 1 << 20)}):
        need = estimate(header, replace(params, ctx=ctx))
        found.append(
            Memory(
                ctx=ctx,
                total_bytes=need.total_bytes,
                kv_bytes=need.kv_bytes,
                device_bytes=need.device_bytes,
                fits=need.total_bytes <= free,
            )
        )
    return found


def _shape(header: Header) -> str:
    heads, heads_kv = max(header.n_head, default=0), max(header.n_head_kv, default=0)
    attention = f", {heads} heads of {heads_kv} KV" if heads else ""
    experts = header.integer("{arch}.expert_count")
    used = header.integer("{arch}.expert_used_count")
    mixture = f", {used} of {experts} experts" if experts else ""
    return f"{header.n_layer} layers, {header.n_embd} wide{attention}{mixture}"


def _tokenizer(header: Header) -> Tokenizer:
    model, pre = header.text("tokenizer.ggml.model"), header.text("tokenizer.ggml.pre")
    tokens = header.array("tokenizer.ggml.tokens")
    specials = {}
    for key, name in _SPECIALS.items():
        at = header.metadata.get(f"tokenizer.ggml.{key}_token_id")
        if isinstance(at, int) and 0 <= at < len(tokens):
            specials[name] = str(tokens[at])
    kind = " ".join(part for part in (model, f"({pre})" if pre else "") if part)
    return Tokenizer(kind=kind or "none", n_tokens=header.n_vocab, specials=specials)


def _extras(spec: ModelSpec, settings: Settings) -> dict[str, str]:
    store = store_of(settings)
    stored = store.models().get(spec.stored) if store else None
    if stored is None:
        return {}
    extras = stored.version.extras
    sampling = {
        name: value
        for name in extras.sampling.__struct_fields__
        if (value := getattr(extras.sampling, name)) != getattr(Sampling(), name)
    }
    told = {
        "sampling": ", ".join(f"{name} {value}" for name, value in sampling.items()),
        "stop": ", ".join(map(repr, extras.stop)),
        "system": extras.system,
        "go template": extras.template,
        "ignored": ", ".join(extras.ignored),
        "projector": ", ".join(f.name for f in stored.version.files if f.role == "mmproj"),
    }
    return {name: text for name, text in told.items() if text}
