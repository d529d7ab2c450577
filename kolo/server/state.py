"""Engines that were added at run time, kept over a restart: state, not configuration.

A name of the configuration is never kept: what the file says of it stays true. Written whole or
not at all, before a call returns.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from kolo.config import BUILTIN_MODEL, Settings
from kolo.errors import KoloError
from kolo.models.resolve import ModelSpec, refreshed, resolve
from kolo.server.keeping import StateFile

VERSION = 1


class _Kept(Struct, kw_only=True, forbid_unknown_fields=True):
    """The file."""

    version: Literal[1] = 1
    engines: list[ModelSpec] = []


class Registry:
    """The engines that the next start must know again. ``file`` None keeps them in memory.
    ``remember``, ``check`` and ``forget`` wait for the disk, and may be called from any thread.

    ``problem`` says why the file could not be read; it was then set aside, not overwritten.
    """

    def __init__(self, file: Path | None = None, settings: Settings | None = None) -> None:
        self._file = StateFile(file, _Kept, what="the engines added before")
        self._settings = settings or Settings()
        self._lock = threading.Lock()
        self._specs: Mapping[str, ModelSpec] = {spec.id: spec for spec in self._read()}

    @property
    def problem(self) -> str:
        return self._file.problem

    def specs(self) -> list[ModelSpec]:
        """What to register at start, oldest first; those whose name the configuration has taken
        since are left out."""
        return [spec for spec in self._specs.values() if not self._configured(spec.id)]

    def hidden(self) -> list[str]:
        """Ids that are kept and now belong to the configuration."""
        return [id for id in self._specs if self._configured(id)]

    def follow(self, settings: Settings) -> None:
        """Go by other settings: which names are theirs."""
        self._settings = settings

    def remember(self, spec: ModelSpec) -> None:
        """Keep ``spec``, in place of one of the same id. ConfigError if it cannot be written."""
        with self._lock:
            if not self._configured(spec.id) and self._specs.get(spec.id) != spec:
                self._write({**self._specs, spec.id: spec})

    def check(self, id: str) -> None:
        """Raises what ``remember`` would, were it told of ``id`` now."""
        with self._lock:
            if not self._configured(id):
                self._write(self._specs)

    def forget(self, id: str) -> None:
        """Keep ``id`` no more, if it was. ConfigError if that cannot be written."""
        with self._lock:
            if id in self._specs:
                self._write({kept: spec for kept, spec in self._specs.items() if kept != id})

    def _configured(self, id: str) -> bool:
        return id == BUILTIN_MODEL or any(
            id == name or id in model.aliases for name, model in self._settings.models.items()
        )

    def _read(self) -> list[ModelSpec]:
        kept = self._file.read()
        if kept is None:
            return []
        return [self._present(spec) for spec in kept.engines]

    def _present(self, spec: ModelSpec) -> ModelSpec:
        """The builtin model moves with the installation, one of the store with its versions."""
        if spec.source == "builtin":
            return replace(spec, path=resolve(BUILTIN_MODEL, self._settings).path)
        try:
            return refreshed(spec, self._settings)
        except KoloError:  # whoever asks for it is told, and what else is kept is served
            return spec

    def _write(self, specs: Mapping[str, ModelSpec]) -> None:
        self._file.write(_Kept(engines=list(specs.values())))
        self._specs = specs
