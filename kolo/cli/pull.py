"""``kolo pull``: bring a model into the store, or register a file where it is."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kolo.cli import loop
from kolo.cli.boundary import Stopped
from kolo.cli.options import Text
from kolo.cli.output import talk
from kolo.cli.pulling import Preview, PullBar, in_words, line, preview
from kolo.cli.remote import json_option
from kolo.cli.root import Command
from kolo.cli.table import size_text
from kolo.config import Settings, load_settings
from kolo.errors import ModelNotFound, UsageError
from kolo.models.known import found
from kolo.models.reference import NameRef, PathRef, RemoteRef, parse
from kolo.models.store import Added, Store, need_store

if TYPE_CHECKING:
    from kolo.models.sources.plan import Plan


@click.command(
    "pull",
    cls=Command,
    short_help="Fetch a model, or register a file.",
    examples=[
        ("kolo pull bartowski/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M", "from the Hugging Face hub"),
        ("kolo pull ollama:qwen2.5:0.5b", "from Ollama's registry"),
        ("kolo pull ./qwen.gguf --name qwen", "a file of this machine, where it is"),
    ],
)
@click.argument("reference", type=Text(), metavar="REF")
@click.option("--name", type=Text(), metavar="NAME", help="What it is to be called.")
@click.option("--copy", is_flag=True, help="Copy a file of this machine into the store.")
@click.option("--dry-run", is_flag=True, help="Show what would be fetched, and stop there.")
@json_option("JSON lines: the plan, how far it is, and at last the model.")
def command(reference: str, name: str | None, copy: bool, dry_run: bool, as_json: bool) -> None:
    """Bring a model into the store.

    REF is one of hf:OWNER/REPO[:QUANT] or hf:OWNER/REPO/FILE.gguf (hf: may be left out),
    ollama:NAME[:TAG], oci:HOST/NAME:TAG, an https:// URL of a .gguf file, a path to one, or
    the name of a model that was pulled before, to see whether there is a newer version.

    A download that was broken off goes on where it was. A name that is pulled again keeps its
    former version until kolo prune; kolo rollback returns to it.
    """
    settings = load_settings()
    store = need_store(settings)
    known = store.models().get(store.aliases().get(reference, reference))
    meant = _meant(known.version.source if known else reference, settings, store)
    name = name or (known.name if known else "")
    if isinstance(meant, PathRef):
        copy = copy or (known is not None and not known.version.in_place)
        taken = configured(settings)
        _pull_file(store, meant.path, name, taken, copy=copy, dry_run=dry_run, as_json=as_json)
        return
    if copy:
        raise UsageError("--copy is for a file of this machine", hint=f"kolo pull {reference}")
    _pull_remote(settings, store, meant, name, reference, dry_run=dry_run, as_json=as_json)


def _meant(reference: str, settings: Settings, store: Store) -> RemoteRef | PathRef:
    """Where to fetch from."""
    meant = parse(reference, ollama_host=settings.store.ollama_registry)
    if not isinstance(meant, NameRef):
        return meant
    if not Path(reference).exists():
        raise _unknown(reference, store)
    return PathRef(Path(reference))


def configured(settings: Settings) -> set[str]:
    """Names that the settings have, and that go before the store's."""
    return {each for name, model in settings.models.items() for each in (name, *model.aliases)}


def _unknown(reference: str, store: Store) -> ModelNotFound:
    from difflib import get_close_matches

    near = get_close_matches(reference, store.models(), n=1)
    hint = f"kolo pull {near[0]}" if near else f"kolo pull ollama:{reference}, or OWNER/REPO"
    return ModelNotFound(
        f"{reference!r} is no name in the store, no file and no reference",
        hint=hint,
    )


# Files of this machine ---------------------------------------------------------------------


def _pull_file(
    store: Store,
    path: Path,
    name: str,
    taken: Collection[str],
    *,
    copy: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    from kolo.cli.local_file import copy_in, examine

    file = examine(path)
    wanted = name or store.free_name(file.name, str(file.path), taken)
    if not as_json:
        how = "copied into the store" if copy else "registered where it is"
        talk(f"{file.path}\n  {file.told} · {how}, as {wanted}")
    if dry_run:
        if as_json:
            line("plan", name=wanted, path=str(file.path), size_bytes=file.size_bytes, copy=copy)
        return
    if copy:
        with PullBar(file.path.name, as_json=as_json) as bar:
            added = copy_in(store, file, wanted, bar.show)
    else:
        added = store.register(wanted, file.path)
    _tell_added(added, as_json=as_json)


# From elsewhere ----------------------------------------------------------------------------


def _pull_remote(
    settings: Settings,
    store: Store,
    meant: RemoteRef,
    name: str,
    reference: str,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    try:
        loop.run(_fetch(settings, store, meant, name, dry_run=dry_run, as_json=as_json))
    except Stopped:
        talk(f"stopped; what came is kept: kolo pull {shlex.quote(reference)} goes on from there")
        raise


async def _fetch(
    settings: Settings, store: Store, meant: RemoteRef, name: str, *, dry_run: bool, as_json: bool
) -> None:
    from kolo.models.sources.plan import plan as ask
    from kolo.models.sources.transfer import Transfer

    plan = await ask(meant, settings)
    name = name or store.free_name(plan.name, str(plan.reference), configured(settings))
    about = preview(plan, store, name)
    _tell_plan(plan, about, as_json=as_json)
    if plan.name in found(settings) and not about.there and not as_json:
        talk(
            f"  without fetching, kolo chat -m {shlex.quote(plan.name)} takes what is there already"
        )
    if about.there:
        _tell_there(store, about, dry_run=dry_run, as_json=as_json)
        return
    if dry_run:
        return
    transfer = Transfer(settings, have=store.held)
    with PullBar(name, as_json=as_json) as bar:
        fetched = await transfer.fetch(plan, store.partial, bar.progress)
    with fetched:
        added = await asyncio.to_thread(store.adopt, fetched, plan, name=name)
    _tell_added(added, as_json=as_json)


def _tell_plan(plan: Plan, about: Preview, *, as_json: bool) -> None:
    if as_json:
        line(
            "plan",
            reference=str(plan.reference),
            name=about.name,
            quant=plan.quant,
            revision=plan.revision,
            files=[
                {"name": f.name, "role": f.role, "size_bytes": f.size_bytes, "sha256": f.sha256}
                for f in plan.files
            ],
            size_bytes=plan.size_bytes,
            partial_bytes=about.partial_bytes,
            disk_free_bytes=about.disk_free_bytes,
            memory_free_bytes=about.memory_free_bytes,
            fits_disk=about.fits_disk,
            fits_memory=about.fits_memory,
            there=about.there,
        )
    else:
        talk(in_words(plan, about))


def _tell_there(store: Store, about: Preview, *, dry_run: bool, as_json: bool) -> None:
    """All of it is in the store: at most another version is to be used again."""
    stored = store.get(about.name)
    if stored.current != about.there and not dry_run:
        stored = store.use(about.name, about.there)
        if not as_json:
            talk(f"it is in the store already; {about.name} is that version again")
    elif not as_json:
        talk(f"it is in the store already, as {about.name}: nothing to fetch")
    if as_json and not dry_run:
        _tell_added(Added(stored=stored, new=False), as_json=True)


def _tell_added(added: Added, *, as_json: bool) -> None:
    stored, version = added.stored, added.stored.version
    if as_json:
        line(
            "done",
            name=stored.name,
            version=version.id,
            new=added.new,
            replaced=added.replaced or None,
            size_bytes=version.size_bytes,
            quant=version.about.quant,
            source=version.source,
            in_place=version.in_place,
        )
        return
    if not added.new:
        talk(f"{stored.name} was in the store already")
        return
    name = shlex.quote(stored.name)
    talk(f"{stored.name} is there: {size_text(version.size_bytes)}, {version.about.quant}")
    if added.replaced:
        talk(f"  its former version is kept: kolo rollback {name}, or kolo prune")
    talk(f"  try: kolo chat -m {name}")
