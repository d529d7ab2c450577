"""What every route of the server shares: the manager, the options, which model is meant."""

from __future__ import annotations

import time
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from types import TracebackType
from urllib.parse import quote

from kolo.config import BUILTIN_MODEL, Settings
from kolo.errors import BadParameter, ModelNotFound
from kolo.manager.engine import Engine
from kolo.manager.manager import Manager
from kolo.monitor.monitor import Monitor
from kolo.server.access.gate import Access
from kolo.server.downloads.manager import Downloads
from kolo.server.options import Options
from kolo.server.recent import Recent
from kolo.server.reload import Follower, Reloader
from kolo.server.state import Registry

MAX_REFERENCE_CHARS = 512


@dataclass(slots=True)
class Service:
    manager: Manager
    settings: Settings
    """Those in force: a reload puts others here, and into ``options``."""
    options: Options
    monitor: Monitor
    registry: Registry
    downloads: Downloads
    access: Access
    started_at: float = field(default_factory=time.time)
    """Unix time in seconds."""
    began_s: float = field(default_factory=time.monotonic)
    """The same moment on the monotonic clock, which no change of the time makes jump."""
    reloader: Reloader | None = None
    """None where there is nothing to read settings from."""
    recent: Recent = field(default_factory=Recent)
    """What the server said last; empty unless it was made a handler of ``logging``."""
    followers: list[Follower] = field(default_factory=list)
    """Told of the settings after each reload."""

    def follow(self, settings: Settings) -> None:
        """Go by other settings from now on."""
        self.settings = settings
        self.options = self.options.following(settings)
        self.registry.follow(settings)
        self.downloads.follow(settings)
        self.access.follow(settings)
        for follower in self.followers:
            follower(settings)

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
        """The engine of a model that a request named; it may name no file of this machine.
        ModelNotFound says how far a model is that is on its way."""
        return _Lease(self, reference)

    def not_there(self, reference: str, error: ModelNotFound) -> ModelNotFound:
        """``error``, or what is the matter with a model that is being downloaded."""
        for job in self.downloads.active():
            if job.id == reference:
                done, total = job.done_bytes, job.total_bytes
                share = f", {done / total:.0%} of it is here" if total else ""
                state = "paused" if job.status == "paused" else "under way"
                return ModelNotFound(
                    f"the download of {reference!r} is {state}{share}",
                    hint=f"GET /download-progress/{quote(reference)} says how far it is.",
                    param="model",
                )
        return error

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


class _Lease(AbstractAsyncContextManager[Engine]):
    """The manager's lease, with what the server knows of a model that is not there."""

    __slots__ = ("_inner", "_reference", "_service")

    def __init__(self, service: Service, reference: str) -> None:
        self._service = service
        self._reference = reference
        self._inner = service.manager.lease(reference, allow_paths=False)

    async def __aenter__(self) -> Engine:
        try:
            return await self._inner.__aenter__()
        except ModelNotFound as error:
            raise self._service.not_there(self._reference, error) from error

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return await self._inner.__aexit__(kind, error, traceback)
