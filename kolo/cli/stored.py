"""Which model of the store a word means, for commands that change the store."""

from __future__ import annotations

from kolo.config import BUILTIN_MODEL, Settings
from kolo.errors import UsageError
from kolo.models.known import aliases
from kolo.models.manifest import Stored
from kolo.models.resolve import resolve
from kolo.models.store import Store


def stored_model(reference: str, settings: Settings, store: Store, verb: str) -> Stored:
    """The model of the store. Raises as ``resolve``, and UsageError for what is not the
    store's, saying whose it is; and for an alias, if ``verb`` is to remove what is meant."""
    if stored := store.models().get(reference):
        return stored
    if verb == "rm" and (target := aliases(settings).get(reference)):
        raise UsageError(
            f"{reference!r} is an alias of {target!r}",
            hint=f"kolo {verb} {target}, or kolo alias --remove {reference}",
        )
    spec = resolve(reference, settings)
    if spec.stored:
        return store.get(spec.stored)
    whose = {
        "builtin": f"{BUILTIN_MODEL} is part of Kolo",
        "config": f"{spec.id} is a model of the settings, [models.{spec.id}] in {settings.file}",
        "folder": f"{spec.id} is a file in a folder of the settings, {spec.path}",
        "hub": f"{spec.id} is in the cache of Hugging Face's tools, {spec.path}",
        "path": f"{spec.path} is a file, and not in the store",
    }
    raise UsageError(whose.get(spec.source, f"{spec.id} is not in the store"), hint="kolo ls")
