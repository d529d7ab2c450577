"""What every route of the server shares: the manager, the options, which model is meant."""

from __future__ import annotations

import time
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from kolo.config import BUILTIN_MODEL, Settings
from kolo.errors import BadParameter, ModelNotFound
from kolo.manager.engine import Engine
from kolo.manager.manager import Manager
from kolo.monitor.monitor import Monitor
from kolo.server.downloads.manager import Downloads
from kolo.server.options import Options
from kolo.server.state import Registry

MAX_REFERENCE_CHARS = 512


@dataclass(frozen=True, slots=True)
class Service:
    manager: Manager
    settings: Settings
    options: Options
    monitor: Monitor
    registry: Registry
    downloads: Downloads
    started_at: float = field(default_factory=time.time)
    """Unix time in seconds."""

    def reference(self, model: str | None) -> str:
        """The model a request means. BadParameter if it names none and several may be meant,
        ModelNotFound for a name that no model can have."""
        if not model:
            return self._only_model()
        if len(model) > MAX_REFERENCE_CHARS or not model.isprintable():
            shown = model[:80].encode("unicode_escape").decode()
            raise ModelNotFound(
                f"there is no model {shown!r}", hint="GET /v1/models lists them.", param="model"
            )
        return model

    def lease(self, reference: str) -> AbstractAsyncContextManager[Engine]:
        """The engine of a model that a request named; it may name no file of this machine."""
        return self.manager.lease(reference, allow_paths=False)

    def _only_model(self) -> str:
        """The model of a request that names none."""
        if self.settings.origin("default_model") != "default":
            return self.settings.default_model
        engines = self.manager.list()
        loaded = [engine.id for engine in engines if engine.state in ("loaded", "loading")]
        known = {*self.settings.models, *(engine.id for engine in engines)} - {BUILTIN_MODEL}
        for names in (loaded, list(known)):
            if len(names) == 1:
                return names[0]
        if not known:
            return BUILTIN_MODEL
        raise BadParameter(
            "the request names no model, and there are several",
            hint="Send model, or set default_model; GET /v1/models lists them.",
            param="model",
        )
