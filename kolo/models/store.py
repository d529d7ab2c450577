"""The store: models by name and version on disk, each content once, nothing half-written seen.

Readers take no lock: they believe ``index`` or the folders themselves. Writers hold the lock;
what is new is put together under a name that begins with a dot, made durable, and then renamed
to where readers look. See ``index`` for the layout, ``blobs`` for the contents.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from kolo.config import BUILTIN_MODEL, Settings
from kolo.errors import ConfigError, DiskFull, ModelInvalid, ModelNotFound
from kolo.models import blobs, index
from kolo.models.gguf import read_model, shard_paths
from kolo.models.index import Stamp
from kolo.models.judge import check_file_names, check_runs, checked, in_place, version_id
from kolo.models.lock import locked
from kolo.models.manifest import (
    About,
    Stored,
    StoredFile,
    Version,
    check_name,
    encode,
    folder_name,
)
from kolo.models.reference import HubRef, origin
from kolo.models.sources.plan import NO_EXTRAS, Extras, Plan, RemoteFile
from kolo.whole import write_whole

if TYPE_CHECKING:
    from kolo.models.sources.transfer import Fetched


class Incoming(Struct, frozen=True, kw_only=True):
    """A file that is whole and on its way into the store."""

    path: Path
    name: str
    """What it is to be called beside the others of its version."""
    digest: str
    size_bytes: int
    role: str = "model"
    """``mmproj``, or anything else for a part of the model, in order."""
    mine: bool = True
    """To be moved into the store; else it is one of the store's already."""


class Added(Struct, frozen=True, kw_only=True):
    stored: Stored
    new: bool
    """False when the store had this version."""
    replaced: str = ""
    """Id of the version that was in use before, if another."""


class Store:
    """The store in ``folder``, which need not exist until something is put into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._seen: tuple[Stamp, dict[str, Stored]] = (index.NO_FILE, {})
        self._aliases: tuple[Stamp, dict[str, str]] = (index.NO_FILE, {})

    @property
    def partial(self) -> Path:
        """Where downloads under way are kept."""
        return self.folder / "partial"

    # Reading -----------------------------------------------------------------------------

    def models(self) -> dict[str, Stored]:
        """Everything by name. Quick when nothing has changed since the last call."""
        now = index.stamp(self.folder / "index.json")
        if now == index.NO_FILE or now != self._seen[0]:
            found = index.read(self.folder)
            if found is None:
                return index.scan(self.folder)[0]
            self._seen = (now, found)
        return self._seen[1]

    def get(self, name: str) -> Stored:
        """ModelNotFound for a name that the store does not have."""
        stored = self.models().get(name)
        if stored is None:
            raise ModelNotFound(
                f"the store has no model {name!r}", hint="kolo ls shows all.", param="model"
            )
        return stored

    def aliases(self) -> dict[str, str]:
        """Further names, and the name that each stands for. ConfigError if unreadable."""
        file = self.folder / "aliases.json"
        now = index.stamp(file)
        if now != self._aliases[0]:
            try:
                found = msgspec.json.decode(file.read_bytes(), type=dict[str, str])
            except FileNotFoundError:
                found = {}
            except (OSError, ValueError) as error:
                raise ConfigError(
                    f"cannot read {file}: {error}",
                    hint="Remove it: the aliases are then forgotten.",
                ) from error
            self._aliases = (now, found)
        return self._aliases[1] if now != index.NO_FILE else {}

    def home(self, name: str) -> Path:
        return self.folder / "names" / folder_name(name)

    def path(self, name: str, version: Version, file: StoredFile | None = None) -> Path:
        """Where a file of a version is; the one to load if none is named.

        ModelNotFound if it is gone, ModelInvalid for a link out of the store.
        """
        file = file or next(each for each in version.files if each.role == "model")
        if file.path:
            return Path(file.path)
        path = self.home(name) / version.id / file.name
        try:
            real = path.resolve(strict=True)
        except (OSError, RuntimeError) as error:
            raise ModelNotFound(
                f"{name!r}: {path} is not there any more",
                hint=f"kolo ls --rebuild, and kolo pull {version.source}",
                param="model",
            ) from error
        if not real.is_relative_to(self.folder.resolve()):
            raise ModelInvalid(
                f"{name!r}: {path} is a symbolic link out of the store",
                hint=f"kolo rm {name} removes the link, not what it leads to.",
                param="model",
            )
        return path

    # Changing ----------------------------------------------------------------------------

    def add(
        self,
        name: str,
        files: Sequence[Incoming],
        *,
        source: str,
        revision: str = "",
        extras: Extras = NO_EXTRAS,
    ) -> Added:
        """Take whole files in as the version of ``name`` in use; the former one is kept.

        They are moved, into blobs by content. ModelInvalid when they are no model that can be
        loaded: they are then removed, and the store is as it was.
        """
        check_name(name)
        own = tuple(
            StoredFile(
                name=each.name,
                size_bytes=each.size_bytes,
                digest=each.digest,
                role="mmproj" if each.role == "mmproj" else "model",
            )
            for each in files
        )
        check_file_names(own)
        with self._changing() as models:
            new = blobs.put(self.folder, files)
            try:
                with self._staged(name, own) as stage:
                    version = Version(
                        id=version_id(own, extras),
                        added_at=time.time(),
                        source=source,
                        files=own,
                        revision=revision,
                        about=checked(stage, own),
                        extras=extras,
                    )
                    return self._enter(models, name, version, stage)
            except ModelInvalid:
                # Whatever else went wrong, the contents are sound, and found again by who retries.
                blobs.drop(self.folder, new)
                raise

    def adopt(self, fetched: Fetched, plan: Plan, *, name: str = "") -> Added:
        """Take in what was downloaded, under ``name`` or the plan's. Raises as ``add``."""
        reference = plan.reference
        if isinstance(reference, HubRef) and not reference.file:
            reference = replace(reference, quant=plan.quant or reference.quant)
        source = str(reference)  # which leads to the same again, whatever the default is then
        files = [
            Incoming(
                path=each.path,
                name=each.file.name,
                digest=f"sha256:{each.sha256}",
                size_bytes=each.size_bytes,
                role=each.file.role,
                mine=not each.held,
            )
            for each in fetched.files
        ]
        return self.add(
            name or self.free_name(plan.name, source),
            files,
            source=source,
            revision=plan.revision,
            extras=plan.extras,
        )

    def held(self, file: RemoteFile) -> Path | None:
        """Where the store has the content of a file already."""
        if file.sha256 is None:
            return None
        blob = blobs.path(self.folder, f"sha256:{file.sha256}")
        known = file.size_bytes is not None and blobs.is_whole(blob, file.size_bytes)
        return blob if known else None

    def version_of(self, plan: Plan, name: str) -> str:
        """The version of ``name`` that has exactly the plan's files and extras: by their sums, or
        where the source names none, by what it calls this state of them. Empty for none."""
        stored = self.models().get(name)
        wanted = {(file.name, f"sha256:{file.sha256}") for file in plan.files if file.sha256}
        sized = {(file.name, file.size_bytes) for file in plan.files}
        for version in stored.versions if stored is not None else ():
            same = plan.revision and plan.revision == version.revision
            if version.extras != plan.extras:
                continue
            if len(wanted) == len(plan.files):
                if {(file.name, file.digest) for file in version.files} == wanted:
                    return version.id
            elif same and {(file.name, file.size_bytes) for file in version.files} == sized:
                return version.id
        return ""

    def free_name(self, wanted: str, source: str, taken: Collection[str] = ()) -> str:
        """``wanted``, or where a model from elsewhere has that name, one with a number."""
        models, name, n = self.models(), wanted, 1
        while name in (BUILTIN_MODEL, *taken) or (
            name in models and origin(models[name].version.source) != origin(source)
        ):
            n += 1
            name = f"{wanted}-{n}"
        return name

    def register(self, name: str, path: Path, mmproj: Path | None = None) -> Added:
        """Know a file, or a split model, where it is. It is neither copied nor hashed."""
        check_name(name)
        parts = [part.absolute() for part in shard_paths(path)]
        own = [in_place(part, "model") for part in parts]
        own += [in_place(mmproj.absolute(), "mmproj")] if mmproj is not None else []
        header = read_model(parts[0])
        check_runs(header.refusal(), parts[0])
        version = Version(
            id=version_id(own),
            added_at=time.time(),
            source=str(parts[0]),
            files=tuple(own),
            about=About.of(header),
        )
        with self._changing() as models, self._staged(name, ()) as stage:
            return self._enter(models, name, version, stage)

    def use(self, name: str, version_id: str) -> Stored:
        """Have another version of ``name`` in use. ModelNotFound if it has left the store."""
        with self._changing() as models:
            before = models.get(name)
            if before is None or version_id not in [each.id for each in before.versions]:
                raise ModelNotFound(
                    f"{name!r} has no version {version_id} any more",
                    hint="kolo ls shows what there is.",
                    param="model",
                )
            stored = replace(before, current=version_id)
            write_whole(self.home(name) / "current", version_id.encode())
            models[name] = stored
        return stored

    def remove(self, name: str) -> list[str]:
        """Forget a name with all its versions and aliases; the names of those aliases.

        Contents that no other name has are removed, files in place are not.
        """
        with self._changing() as models:
            models.pop(name, None)
            blobs.hide_and_remove(self.home(name))
            blobs.sweep(self.folder, models.values())
            gone = [alias for alias, target in self.aliases().items() if target == name]
            if gone:
                self._write_aliases({a: t for a, t in self.aliases().items() if a not in gone})
        return gone

    def forget_versions(self, doomed: dict[str, list[str]]) -> None:
        """Remove versions by name and id; never one in use. Contents as in ``remove``."""
        with self._changing() as models:
            for name, ids in doomed.items():
                if stored := models.get(name):
                    going = [v for v in stored.versions if v.id in ids and v != stored.version]
                    for version in going:
                        blobs.hide_and_remove(self.home(name) / version.id)
                    left = tuple(v for v in stored.versions if v not in going)
                    models[name] = replace(stored, versions=left)
            blobs.sweep(self.folder, models.values())

    def set_alias(self, alias: str, target: str | None) -> None:
        """Give a model a further name, or with None take it away."""
        with locked(self.folder):
            aliases = dict(self.aliases())
            aliases.pop(alias, None)
            self._write_aliases({**aliases, check_name(alias): target} if target else aliases)

    def rebuild(self) -> list[str]:
        """Make the index anew from the folders; a remark on each thing left out."""
        with locked(self.folder):
            models, remarks = index.scan(self.folder)
            index.write(self.folder, models)
        return remarks

    # Inside ------------------------------------------------------------------------------

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Stored]]:
        """All models, to be changed together with the folders; afterwards they are the index."""
        with locked(self.folder), _disk_full(self.folder):
            models = index.read(self.folder)
            if models is None:
                models, _ = index.scan(self.folder)
            index.drop(self.folder)
            try:
                yield models
            except BaseException:
                models, _ = index.scan(self.folder)  # as far as it got
                raise
            finally:
                index.write(self.folder, models)

    @contextmanager
    def _staged(self, name: str, files: Sequence[StoredFile]) -> Iterator[Path]:
        """A folder with the files of a version in it, gone afterwards unless it was renamed."""
        home = self.home(name)
        home.mkdir(parents=True, exist_ok=True)
        stage = home / f".{os.getpid()}.{time.monotonic_ns()}"
        stage.mkdir()
        try:
            for file in files:
                blobs.link(blobs.path(self.folder, file.digest), stage / file.name)
            yield stage
        finally:
            shutil.rmtree(stage, ignore_errors=True)
            if not any(home.iterdir()):
                home.rmdir()

    def _enter(self, models: dict[str, Stored], name: str, version: Version, stage: Path) -> Added:
        """Make ``version`` the one of ``name`` in use. A file in place supersedes itself: what it
        was before is no more."""
        before = models.get(name)
        kept = list(before.versions) if before else []
        known = next((each for each in kept if each.id == version.id), None)
        if known is None:
            write_whole(stage / "manifest.json", encode(version))
            os.rename(stage, self.home(name) / version.id)
            blobs.sync(self.home(name).parent)
            gone = [v for v in kept if v.in_place and v.source == version.source]
            kept = [*(v for v in kept if v not in gone), version]
        else:
            gone = []
        write_whole(self.home(name) / "current", version.id.encode())
        for old in gone:
            blobs.hide_and_remove(self.home(name) / old.id)
        models[name] = Stored(name=name, current=version.id, versions=tuple(kept))
        was = before.version.id if before else ""
        return Added(
            stored=models[name], new=known is None, replaced=was if was != version.id else ""
        )

    def _write_aliases(self, aliases: dict[str, str]) -> None:
        data = msgspec.json.format(msgspec.json.encode(aliases, order="sorted"), indent=1)
        write_whole(self.folder / "aliases.json", data + b"\n")


@contextmanager
def _disk_full(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DiskFull(
            f"there is no room left in {folder}: {error.strerror}",
            hint="kolo prune, or make room in another way.",
        ) from error


def store_of(settings: Settings) -> Store | None:
    """The store of these settings; None where they name no folder."""
    if not settings.store.dir:
        return None
    folder = settings.store.dir
    if folder not in _STORES:
        _STORES[folder] = Store(Path(folder))
    return _STORES[folder]


def need_store(settings: Settings) -> Store:
    store = store_of(settings)
    if store is None:
        raise ConfigError("there is no store of models", hint="Set store.dir.")
    return store


_STORES: dict[str, Store] = {}
"""By folder: what a store has read is worth keeping."""
