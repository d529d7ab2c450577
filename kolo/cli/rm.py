"""``kolo rm``: remove models from the store."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kolo.cli import loop
from kolo.cli.catalog import engines_now
from kolo.cli.confirm import careful_options, confirmed
from kolo.cli.options import Text
from kolo.cli.output import talk
from kolo.cli.remote import json_option
from kolo.cli.root import Command
from kolo.cli.stored import stored_model
from kolo.cli.table import print_json, size_text
from kolo.config import Settings, load_settings
from kolo.models.manifest import Stored
from kolo.models.store import Store, need_store
from kolo.models.usage import forget_use

if TYPE_CHECKING:
    from kolo.client.engines import EngineView

_RUNNING = ("loaded", "loading")


@click.command(
    "rm",
    cls=Command,
    short_help="Remove models from the store.",
    examples=[
        ("kolo rm qwen2.5:0.5b", "one model, with all its versions"),
        ("kolo rm qwen2.5:0.5b --dry-run", "what that would free"),
    ],
)
@click.argument("names", type=Text(), metavar="NAME...", nargs=-1, required=True)
@careful_options
@json_option("An object: removed (name, versions, aliases, freed_bytes), dry_run.")
def command(names: tuple[str, ...], yes: bool, dry_run: bool, as_json: bool) -> int:
    """Remove models from the store, with all their versions and aliases.

    A file that was registered where it is stays there; it is only forgotten. What two models
    share stays until both are gone. An engine that has the model loaded goes on with it.
    """
    settings = load_settings()
    store = need_store(settings)
    doomed = {m.name: m for m in (stored_model(n, settings, store, "rm") for n in names)}
    freed = {name: _freed(stored, doomed, store) for name, stored in doomed.items()}
    engines = {} if as_json else _engines(settings, doomed, store)
    if not as_json:
        for name, stored in doomed.items():
            talk(_sentence(stored, freed[name]))
            _tell_loaded(engines[name])
    if not dry_run:
        if not confirmed(_question(doomed, told=not as_json), yes=yes):
            return 1
        gone = {name: store.remove(name) for name in doomed}
        for name in doomed:
            forget_use(settings, name)
    else:
        gone = {name: [a for a, t in store.aliases().items() if t == name] for name in doomed}
    if as_json:
        removed = [
            {
                "name": name,
                "versions": [version.id for version in stored.versions],
                "aliases": gone[name],
                "freed_bytes": freed[name],
            }
            for name, stored in doomed.items()
        ]
        print_json({"removed": removed, "dry_run": dry_run})
    elif not dry_run:
        _tell_removed(sum(freed.values()), engines)
    return 0


def _question(doomed: dict[str, Stored], *, told: bool) -> str:
    """``told`` is whether it was said already what is to go."""
    if not told:
        return f"remove {', '.join(doomed)}?"
    return "remove?" if len(doomed) == 1 else f"remove all {len(doomed)}?"


def _sentence(stored: Stored, freed_bytes: int) -> str:
    n = len(stored.versions)
    versions = f" in {n} versions" if n > 1 else ""
    if stored.version.in_place:
        return f"{stored.name}: its file {stored.version.source} stays where it is"
    return f"{stored.name}: {size_text(freed_bytes)}{versions}"


def _freed(stored: Stored, doomed: dict[str, Stored], store: Store) -> int:
    """Bytes that go with a model: each content once, and none that a model shares that stays."""
    kept = {
        file.digest
        for name, other in store.models().items()
        if name not in doomed or name < stored.name
        for version in other.versions
        for file in version.files
    }
    own = {
        file.digest: file.size_bytes
        for version in stored.versions
        for file in version.files
        if not file.path
    }
    return sum(size for digest, size in own.items() if digest not in kept)


def _engines(
    settings: Settings, doomed: dict[str, Stored], store: Store
) -> dict[str, list[EngineView]]:
    """By model, the engines that a running server has of it, loaded or not."""
    found: dict[str, list[EngineView]] = {name: [] for name in doomed}
    for engine in loop.run(engines_now(settings)) or []:
        for name, stored in doomed.items():
            files = {file.path for version in stored.versions for file in version.files}
            if engine.model_path in files or Path(engine.model_path).is_relative_to(
                store.home(name)
            ):
                found[name].append(engine)
    return found


def _tell_loaded(engines: list[EngineView]) -> None:
    """Before it is removed."""
    for engine in engines:
        if engine.state in _RUNNING:
            talk(f"  the running server has it loaded, as {engine.engine_id}")


def _tell_removed(freed_bytes: int, engines: dict[str, list[EngineView]]) -> None:
    """And what to do about engines that are left without a model."""
    left = [(name, engine) for name in engines for engine in engines[name]]
    loaded = any(engine.state in _RUNNING for _, engine in left)
    when = " when the server has unloaded it" if loaded else ""
    talk(f"removed; {size_text(freed_bytes)} are free again{when}")
    for name, engine in left:
        if engine.engine_id != name or engine.state in _RUNNING:
            talk(f"  kolo unload {shlex.quote(engine.engine_id)} --forget")
