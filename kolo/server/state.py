"""Engines that were added at run time, kept over a restart: state, not configuration.

A name of the configuration is never kept: what the file says of it stays true. Written whole or
not at all, before a call returns.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from kolo.config import BUILTIN_MODEL, Settings
from kolo.errors import ConfigError, KoloError
from kolo.models.resolve import ModelSpec, refreshed, resolve
from kolo.whole import write_whole

VERSION = 1


class _Kept(Struct, kw_only=True, forbid_unknown_fields=True):
    """The file."""

    version: Literal[1] = 1
    engines: list[ModelSpec] = []


class Registry:
    """The engines that the next start must know again. ``file`` None keeps them in memory.

    ``problem`` says why the file could not be read; it was then set aside, not overwritten.
    """

    def __init__(self, file: Path | None = None, settings: Settings | None = None) -> None:
        self._file = file
        self._settings = settings or Settings()
        self.problem = ""
        self._specs: Mapping[str, ModelSpec] = {spec.id: spec for spec in self._read()}

    def specs(self) -> list[ModelSpec]:
        """What to register at start, oldest first; those whose name the configuration has taken
        since are left out."""
        return [spec for spec in self._specs.values() if not self._configured(spec.id)]

    def hidden(self) -> list[str]:
        """Ids that are kept and now belong to the configuration."""
        return [id for id in self._specs if self._configured(id)]

    def remember(self, spec: ModelSpec) -> None:
        """Keep ``spec``, in place of one of the same id. ConfigError if it cannot be written."""
        if not self._configured(spec.id) and self._specs.get(spec.id) != spec:
            self._write({**self._specs, spec.id: spec})

    def forget(self, id: str) -> None:
        """Keep ``id`` no more, if it was. ConfigError if that cannot be written."""
        if id in self._specs:
            self._write({kept: spec for kept, spec in self._specs.items() if kept != id})

    def _configured(self, id: str) -> bool:
        return id == BUILTIN_MODEL or any(
            id == name or id in model.aliases for name, model in self._settings.models.items()
        )

    def _read(self) -> list[ModelSpec]:
        if self._file is None:
            return []
        try:
            data = self._file.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ConfigError(
                f"cannot read {self._file}: {error.strerror}",
                hint="Make it readable, or remove it: the engines in it are then forgotten.",
            ) from error
        try:
            kept = _DECODER.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            aside = self._file.with_suffix(".unreadable.json")
            self._file.rename(aside)
            self.problem = f"the engines added before are lost: {aside} cannot be read: {error}"
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
        if self._file is not None:
            try:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                write_whole(self._file, _encode(_Kept(engines=list(specs.values()))))
            except OSError as error:
                raise ConfigError(
                    f"cannot write {self._file}: {error.strerror}",
                    hint="Make room or correct its permissions; until then a restart of the "
                    "server brings back what it had before.",
                ) from error
        self._specs = specs


def _encode(kept: _Kept) -> bytes:
    plain = msgspec.to_builtins(kept, enc_hook=_plain)
    return msgspec.json.format(msgspec.json.encode(plain), indent=2) + b"\n"


def _plain(value: Any) -> str | float:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float):  # units.Seconds
        return float(value)
    raise TypeError(f"{type(value).__name__} has no place in the file")


def _from_text(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise TypeError(f"{kind.__name__} has no place in the file")


_DECODER = msgspec.json.Decoder(_Kept, dec_hook=_from_text)
