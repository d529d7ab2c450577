"""Models that are known by name without a line in the settings: those of the store, of the
folders that the settings name, and of the hub's cache."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from kolo.config import BUILTIN_MODEL, Settings
from kolo.errors import BadParameter, KoloError
from kolo.models.folder import scan
from kolo.models.hub_cache import Cached, cached
from kolo.models.manifest import Stored
from kolo.models.reference import HubRef, OciRef, RemoteRef, UrlRef, parse
from kolo.models.sources.quants import quant_of
from kolo.models.store import Store, store_of
from kolo.types import LoadParams

Place = Literal["store", "folder", "hub"]


class Known(Struct, frozen=True, kw_only=True):
    """A model by its name. Its file may have gone since."""

    name: str
    place: Place
    path: Path
    """The file to load. For one of the store that cannot be used, where it should be."""
    source: str
    """The reference it came by, or the path."""
    stored: Stored | None = None
    """What the store says, for one of the store."""
    cached: Cached | None = None
    """What the hub's cache says, for one of it."""


def known(settings: Settings) -> dict[str, Known]:
    """Every such model by its name. Of equal names the store's goes first, then a folder's."""
    return {**found(settings), **in_store(settings)}


def in_store(settings: Settings) -> dict[str, Known]:
    """What the store has."""
    store = store_of(settings)
    if store is None:
        return {}
    return {name: _known(store, stored) for name, stored in store.models().items()}


def by_name(name: str, settings: Settings) -> Known | None:
    """The model of the store with this name. Quick: every request may ask."""
    store = store_of(settings)
    stored = store.models().get(name) if store is not None else None
    return _known(store, stored) if store is not None and stored is not None else None


def found(settings: Settings) -> dict[str, Known]:
    """What lies in the folders and in the hub's cache."""
    return look_around(settings)[0]


def look_around(settings: Settings) -> tuple[dict[str, Known], list[str]]:
    """The same, and a remark on each thing there that cannot be a model, and why."""
    models: dict[str, Known] = {}
    remarks: list[str] = []
    for folder in settings.store.folders:
        for name, path in _in_folder(Path(folder), {*models, BUILTIN_MODEL}, remarks).items():
            models[name] = Known(name=name, place="folder", path=path, source=str(path))
    cache = settings.store.hub_cache
    in_cache, odd = cached(Path(cache)) if cache else ([], [])
    for each in in_cache:
        source = str(HubRef(each.owner, each.repo, file=each.file))
        models.setdefault(
            each.name,
            Known(name=each.name, place="hub", path=each.path, source=source, cached=each),
        )
    return models, [*remarks, *odd]


def aliases(settings: Settings) -> dict[str, str]:
    """Those of ``kolo alias``, and what each stands for."""
    store = store_of(settings)
    return store.aliases() if store is not None else {}


def from_source(reference: RemoteRef, models: dict[str, Known]) -> list[Known]:
    """The models that came from where ``reference`` leads, or could have."""
    return [each for each in models.values() if _came_from(each, reference)]


def beginning_with(text: str, names: dict[str, Known]) -> list[str]:
    """The names that ``text`` is the beginning of, whole or after an owner, in any case.

    A name that it is, or is but for a ``:latest``, goes before all others.
    """
    wanted = text.lower()
    shorts = {name: _short(name).lower() for name in names}
    for exact in (wanted, f"{wanted}:latest"):
        if same := [name for name in names if exact in (name.lower(), shorts[name])]:
            return same
    return [
        name for name in names if name.lower().startswith(wanted) or shorts[name].startswith(wanted)
    ]


def params_of(each: Known, engine: LoadParams) -> LoadParams:
    """How to load it: what the settings leave open is as it was published with the model."""
    if each.stored is None:
        return engine
    extras = each.stored.version.extras
    ours = engine.sampling
    open_fields = {
        name: value
        for name in ours.__struct_fields__
        if (value := getattr(extras.sampling, name)) is not None and getattr(ours, name) is None
    }
    return replace(
        engine,
        ctx=engine.ctx if engine.ctx is not None else extras.ctx,
        stop=engine.stop if engine.stop is not None else list(extras.stop) or None,
        system=engine.system if engine.system is not None else extras.system or None,
        sampling=replace(ours, **open_fields),
    )


def _short(name: str) -> str:
    """Without the owner, as people call it."""
    return name.rpartition("/")[2]


def _known(store: Store, stored: Stored) -> Known:
    version = stored.version
    first = next(file for file in version.files if file.role == "model")
    path = Path(first.path) if first.path else store.home(stored.name) / version.id / first.name
    return Known(name=stored.name, place="store", path=path, source=version.source, stored=stored)


def _in_folder(folder: Path, taken: set[str], remarks: list[str]) -> dict[str, Path]:
    """The models of a folder by name; of one that cannot be read, none."""
    try:
        models, told = scan(folder, LoadParams(), taken)
    except KoloError as error:
        remarks.append(error.message)
        return {}
    remarks += told
    return {name: model.path for name, model in models.items()}


def _came_from(each: Known, reference: RemoteRef) -> bool:
    try:
        source = parse(each.source)
    except BadParameter:
        return False
    match reference:
        case HubRef():
            return isinstance(source, HubRef) and _same_hub(each, source, reference)
        case OciRef():
            if reference.ollama and isinstance(source, OciRef):
                # Which registry it means is a setting, and no part of what was kept.
                source = replace(source, host=reference.host)
            return source == reference
        case UrlRef():
            return str(source) == str(reference)


def _same_hub(each: Known, source: HubRef, wanted: HubRef) -> bool:
    here = f"{source.owner}/{source.repo}".lower()
    if here != f"{wanted.owner}/{wanted.repo}".lower():
        return False
    quants, files, revisions = {source.quant.upper()}, {source.file}, {source.revision}
    if each.stored is not None:
        version = each.stored.version
        quants |= {version.about.quant.upper(), *(quant_of(f.name) for f in version.files)}
        files |= {file.name for file in version.files}
        revisions.add(version.revision)
    if each.cached is not None:
        quants.add(each.cached.quant)
        revisions.add(each.cached.commit)
    return (
        (not wanted.quant or wanted.quant.upper() in quants)
        and (not wanted.file or bool({wanted.file, Path(wanted.file).name} & files))
        and (not wanted.revision or any(r.startswith(wanted.revision) for r in revisions))
    )
