"""From a ``model_path`` to the file to load, or the one of Kolosal's errors that says why not."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from kolo.errors import BadParameter, ModelInvalid, ModelNotFound
from kolo.models.gguf import read_model
from kolo.models.resolve import find_file
from kolo.server.kolosal.problems import (
    DownloadFailed,
    InvalidModelFormat,
    InvalidModelPathType,
    ModelFileNotFound,
    ModelPathAccessDenied,
    ModelPathNotFound,
)

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def locate(model_path: str, *, param: str = "model_path") -> Path:
    """A GGUF file: the path itself, or the one model of the folder it names. ``param`` is the
    field that said so."""
    if _URL.match(model_path):
        raise DownloadFailed(
            f"{param} is a URL of a kind that is not fetched",
            hint="Send https://…, hf:OWNER/REPO:QUANT, ollama:NAME, oci:HOST/NAME:TAG, or the path "
            "of a file that is there.",
            param=param,
        )
    mode = _mode(model_path, param)
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InvalidModelPathType(
            f"{model_path} is neither a file nor a folder",
            hint="Send the path of a .gguf file, or of a folder that holds one.",
            param=param,
        )
    try:
        path = find_file(Path(model_path))
        if not os.access(path, os.R_OK):
            raise _denied(model_path, param)
        read_model(path)
    except ModelNotFound as error:
        raise ModelFileNotFound(error.message, hint=error.hint, param=param) from None
    except BadParameter as error:  # a folder of several models
        raise ModelFileNotFound(error.message, hint=error.hint, param=param) from None
    except ModelInvalid as error:
        raise InvalidModelFormat(error.message, hint=error.hint, param=param) from None
    return path


def _mode(model_path: str, param: str) -> int:
    try:
        return os.stat(model_path).st_mode
    except PermissionError:
        raise _denied(model_path, param) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL, or what no path can hold
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ModelPathNotFound(
            f"{param} {model_path[:200]!r} does not exist here: {reason}",
            hint="It is a path on the server's machine, best an absolute one.",
            param=param,
        ) from None


def _denied(model_path: str, param: str) -> ModelPathAccessDenied:
    return ModelPathAccessDenied(
        f"the server may not read {model_path}",
        hint="Give its user the right to read the file and to enter its folders.",
        param=param,
    )
