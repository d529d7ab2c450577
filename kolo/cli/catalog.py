"""Every model of this machine, as ``kolo ls`` and ``kolo show`` tell of them."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from kolo.config import BUILTIN_MODEL, Settings
from kolo.errors import KoloError
from kolo.models.gguf import read_model, shard_paths
from kolo.models.known import Known, aliases, in_store, look_around
from kolo.models.manifest import About
from kolo.models.resolve import resolve
from kolo.models.usage import last_used

if TYPE_CHECKING:
    from kolo.client.engines import EngineView

ASK_S = 2.0
"""For a server to tell of its engines; without an answer, nothing is said of them."""


class Row(Struct, kw_only=True):
    """One model. Sizes in bytes, times in seconds since 1970."""

    name: str
    place: str
    """``builtin``, ``config``, ``store``, ``folder`` or ``hub`` (the hub's cache)."""
    source: str
    """The reference it came by, or its path."""
    path: str
    size_bytes: int | None = None
    """None when its file is gone."""
    quant: str = ""
    n_params: int = 0
    n_ctx_train: int = 0
    kind: str = ""
    """``generate``, ``embedding`` or ``rerank``."""
    aliases: list[str] = []
    version: str = ""
    versions: list[str] = []
    """Of one of the store, oldest first."""
    in_place: bool = False
    last_used: float | None = None
    state: str | None = None
    """Of its engine in the running server; None when there is no server."""
    problem: str = ""


def rows(settings: Settings) -> tuple[list[Row], list[str]]:
    """All of them, by name, and a remark on each thing in the folders that can be none."""
    further = aliases(settings)
    found: dict[str, Row] = {}
    with suppress(KoloError):  # not part of this installation
        spec = resolve(BUILTIN_MODEL, settings)
        found[BUILTIN_MODEL] = _from_file(BUILTIN_MODEL, "builtin", "built in", spec.path)
    for name, model in settings.models.items():
        found[name] = _from_file(name, "config", str(model.path), model.path)
        found[name].aliases = [*model.aliases]
    around, remarks = look_around(settings)
    for name, each in {**around, **in_store(settings)}.items():
        if name not in found:
            found[name] = _from_store(each) or _from_file(name, each.place, each.source, each.path)
    for name, row in found.items():
        row.aliases += [alias for alias, target in further.items() if target == name]
        row.last_used = last_used(settings, name)
    return sorted(found.values(), key=lambda row: row.name.lower()), remarks


def tell_engines(found: list[Row], engines: list[EngineView] | None) -> None:
    """Add what a server's engines do with the models."""
    if engines is None:
        return
    by_id = {engine.engine_id: engine for engine in engines}
    by_path = {engine.model_path: engine for engine in engines if engine.state != "unloaded"}
    for row in found:
        engine = by_id.get(row.name) or by_path.get(row.path)
        row.state = engine.state if engine is not None else "unloaded"
        if engine is not None and engine.state == "loaded" and engine.idle_s is not None:
            row.last_used = max(row.last_used or 0.0, time.time() - engine.idle_s)


async def engines_now(settings: Settings) -> list[EngineView] | None:
    """What a running server says of its engines; None without one, or when it does not say."""
    import asyncio

    from kolo.beacon import find_server

    address = find_server(settings)
    if address is None:
        return None
    from kolo.client.engines import engines
    from kolo.client.http import Http

    try:
        async with asyncio.timeout(ASK_S), Http(address) as http:
            return await engines(http)
    except (KoloError, TimeoutError):
        return None


def _from_store(each: Known) -> Row | None:
    """Of a model of the store, without opening its file."""
    if each.stored is None:
        return None
    version = each.stored.version
    row = Row(
        name=each.name,
        place="store",
        source=version.source,
        path=str(each.path),
        version=version.id,
        versions=[one.id for one in each.stored.versions],
        in_place=version.in_place,
    )
    _describe(row, version.about)
    if each.path.exists():
        row.size_bytes = version.size_bytes
    else:
        row.problem = "its file is gone"
    return row


def _from_file(name: str, place: str, source: str, path: Path) -> Row:
    row = Row(name=name, place=place, source=source, path=str(path))
    try:
        row.size_bytes = sum(part.stat().st_size for part in shard_paths(path))
        _describe(row, About.of(read_model(path)))
    except OSError as error:
        row.problem = f"{path}: {error.strerror}"
    except KoloError as error:
        row.problem = error.message
    return row


def _describe(row: Row, about: About) -> None:
    row.quant, row.kind = about.quant, about.kind
    row.n_params, row.n_ctx_train = about.n_params, about.n_ctx_train
