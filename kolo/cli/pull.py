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
from kolo.cli.pulling import Form, Preview, PullBar, event, in_words, preview
from kolo.cli.remote import json_option
from kolo.cli.root import Command
from kolo.cli.table import size_text
from kolo.config import Settings, load_settings
from kolo.errors import ModelNotFound, UsageError
from kolo.models.known import beginning_with, found, in_store
from kolo.models.manifest import Stored
from kolo.models.reference import NameRef, PathRef, RemoteRef, parse
from kolo.models.resolve import ambiguous
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
@json_option(
    "One JSON object, at the end: the model, or the plan of --dry-run; progress as JSON lines on "
    "stderr."
)
@click.option("--jsonl", is_flag=True, help="JSON lines: the plan, how far it is, and the model.")
def command(
    reference: str, name: str | None, copy: bool, dry_run: bool, as_json: bool, jsonl: bool
) -> None:
    """Bring a model into the store.

    REF is one of hf:OWNER/REPO[:QUANT] or hf:OWNER/REPO/FILE.gguf (hf: may be left out),
    ollama:NAME[:TAG], oci:HOST/NAME:TAG, an https:// URL of a .gguf file, a path to one, or
    the name of a model that was pulled before, to see whether there is a newer version.

    A download that was broken off goes on where it was. A name that is pulled again keeps its
    former version until kolo prune; kolo rollback returns to it.
    """
    if as_json and jsonl:
        raise UsageError("--json and --jsonl exclude each other", hint="one of them")
    form: Form = "jsonl" if jsonl else "json" if as_json else "words"
    settings = load_settings()
    store = need_store(settings)
    again = shlex.join(["kolo", "pull", reference, *(("--name", name) if name else ())])
    known = _known(reference, settings, store)
    meant = _meant(known.version.source if known else reference, settings, store)
    name = name or (known.name if known else "")
    if isinstance(meant, PathRef):
        copy = copy or (known is not None and not known.version.in_place)
        taken = configured(settings)
        _pull_file(store, meant.path, name, taken, copy=copy, dry_run=dry_run, form=form)
        return
    if copy:
        raise UsageError("--copy is for a file of this machine", hint=f"kolo pull {reference}")
    _pull_remote(settings, store, meant, name, again, dry_run=dry_run, form=form)


def _known(reference: str, settings: Settings, store: Store) -> Stored | None:
    """The model of the store that a name, an alias or the beginning of a name stands for."""
    stored = store.models().get(store.aliases().get(reference, reference))
    meant = parse(reference, ollama_host=settings.store.ollama_registry)
    if stored is not None or not isinstance(meant, NameRef) or Path(reference).exists():
        return stored
    near = beginning_with(reference, in_store(settings))
    if len(near) > 1:
        raise ambiguous(reference, near)
    return store.get(near[0]) if near else None


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
    new = f"kolo pull ollama:{reference}, or OWNER/REPO of the Hugging Face hub"
    hint = f"{new}; here is {near[0]}" if near else new
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
    form: Form,
) -> None:
    from kolo.cli.local_file import copy_in, examine

    file = examine(path)
    wanted = name or store.free_name(file.name, str(file.path), taken)
    if form == "words":
        how = "copied into the store" if copy else "registered where it is"
        talk(f"{file.path}\n  {file.told} · {how}, as {wanted}")
    if dry_run:
        if form != "words":
            plan = {"name": wanted, "path": str(file.path), "size_bytes": file.size_bytes}
            event("plan_file", form, **plan, copy=copy)
        return
    if copy:
        with PullBar(file.path.name, form=form) as bar:
            added = copy_in(store, file, wanted, bar.show)
    else:
        added = store.register(wanted, file.path)
    _tell_added(added, form)


# From elsewhere ----------------------------------------------------------------------------


def _pull_remote(
    settings: Settings,
    store: Store,
    meant: RemoteRef,
    name: str,
    again: str,
    *,
    dry_run: bool,
    form: Form,
) -> None:
    try:
        loop.run(_fetch(settings, store, meant, name, dry_run=dry_run, form=form))
    except Stopped:
        talk(f"stopped; what came is kept: {again} goes on from there")
        raise


async def _fetch(
    settings: Settings, store: Store, meant: RemoteRef, name: str, *, dry_run: bool, form: Form
) -> None:
    from kolo.models.sources.plan import plan as ask
    from kolo.models.sources.transfer import Transfer

    plan = await ask(meant, settings)
    name = name or store.free_name(plan.name, str(plan.reference), configured(settings))
    about = preview(plan, store, name)
    _tell_plan(plan, about, form, dry_run=dry_run)
    if plan.name in found(settings) and not about.there and form == "words":
        talk(
            f"  without fetching, kolo chat -m {shlex.quote(plan.name)} takes what is there already"
        )
    if about.there:
        _tell_there(store, about, dry_run=dry_run, form=form)
        return
    if dry_run:
        return
    transfer = Transfer(settings, have=store.held)
    with PullBar(name, form=form) as bar:
        fetched = await transfer.fetch(plan, store.partial, bar.progress)
    with fetched:
        added = await asyncio.to_thread(store.adopt, fetched, plan, name=name)
    _tell_added(added, form)


def _tell_plan(plan: Plan, about: Preview, form: Form, *, dry_run: bool) -> None:
    if form == "jsonl" or (form == "json" and dry_run):
        event(
            "plan",
            form,
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
            held_bytes=about.held_bytes,
            disk_free_bytes=about.disk_free_bytes,
            memory_free_bytes=about.memory_free_bytes,
            fits_disk=about.fits_disk,
            fits_memory=about.fits_memory,
            there=about.there,
        )
    elif form == "words":
        talk(in_words(plan, about))


def _tell_there(store: Store, about: Preview, *, dry_run: bool, form: Form) -> None:
    """All of it is in the store: at most another version is to be used again."""
    stored = store.get(about.name)
    if stored.current != about.there and not dry_run:
        stored = store.use(about.name, about.there)
        if form == "words":
            talk(f"it is in the store already; {about.name} is that version again")
    elif form == "words":
        talk(f"it is in the store already, as {about.name}: nothing to fetch")
    if form != "words" and not dry_run:
        _tell_added(Added(stored=stored, new=False), form)


def _tell_added(added: Added, form: Form) -> None:
    stored, version = added.stored, added.stored.version
    if form != "words":
        event(
            "done",
            form,
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
