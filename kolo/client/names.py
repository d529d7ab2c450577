"""What a server is to be told of a model that a person named."""

from __future__ import annotations

import os
from pathlib import Path

from kolo.config import Settings
from kolo.errors import BadParameter, KoloError


def file_of(reference: str, settings: Settings) -> Path | None:
    """The file that a reference means, None for a name, which a server may know or not.

    ModelNotFound for a .gguf file that is not there, BadParameter for one whose path no JSON
    can hold.
    """
    if _can_only_be_a_name(reference):
        return None
    from kolo.models.resolve import resolve  # reads the store, which a mere name need not wait for

    try:
        spec = resolve(reference, settings)
    except KoloError:
        if Path(reference).suffix.lower() == ".gguf":
            raise
        return None
    if spec.source != "path":
        return None
    try:
        os.fsencode(spec.path).decode()
    except UnicodeDecodeError:
        raise BadParameter(
            f"the path {str(spec.path)!r} is not UTF-8, and cannot be sent to a server",
            hint="Rename the file or the folder.",
            param="model",
        ) from None
    return spec.path


def _can_only_be_a_name(reference: str) -> bool:
    """Whether no file is meant, nor a source: those have a slash or a colon."""
    if set(reference) & set("/:~") or reference.lower().endswith(".gguf"):
        return False
    try:
        return not Path(reference).exists()
    except OSError:  # no file can have such a name
        return True
