"""``kolo rm``: remove models from the store."""

from __future__ import annotations

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
    if not as_json:
        for name, stored in doomed.items():
            talk(_sentence(stored, freed[name]))
    if not dry_run:
        if not confirmed("remove?" if len(doomed) == 1 else f"remove all {len(doomed)}?", yes=yes):
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
        talk(f"removed; {size_text(sum(freed.values()))} are free again")
        _tell_loaded(settings, doomed)
    return 0


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


def _tell_loaded(settings: Settings, doomed: dict[str, Stored]) -> None:
    for engine in loop.run(engines_now(settings)) or []:
        if engine.engine_id in doomed and engine.state in ("loaded", "loading"):
            talk(f"the server still has it loaded: kolo unload {engine.engine_id}")
