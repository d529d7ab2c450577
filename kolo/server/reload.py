"""Reading the settings anew while the server runs: by SIGHUP, or ``POST /models?reload=1``.

All or nothing: settings with a mistake change nothing, and what is wrong is said where it was asked
and in the log. Engines of which the settings say the same go on untouched.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from kolo.config import Settings
from kolo.config.changes import changed_keys
from kolo.errors import ConfigError, KoloError
from kolo.manager.renewal import Renewed

if TYPE_CHECKING:
    from kolo.server.service import Service

LIVE = (
    "default_model", "engine", "manager", "models", "downloads", "log", "access",
    "store.folders", "store.hub_cache", "store.ollama_registry",
    "server.request_timeout", "server.max_body", "server.body_timeout", "server.heartbeat",
    "server.stop_timeout", "server.send_timeout",
)  # fmt: skip
"""Keys, and sections, that are heeded at once; the server's others need a restart."""
ONLY_AT_START = ("manager.memory_budget",)
ELSEWHERE = ("chat", "complete", "embed")
"""Sections of other commands."""

Read = Callable[[], Settings]
Follower = Callable[[Settings], None]
"""Is handed the new settings, and must not fail."""

log = logging.getLogger(__name__)


class ReloadRefused(ConfigError):
    """The settings are wrong; nothing was changed."""

    http_status = 422
    type = "invalid_request_error"


class Reloaded(Struct, kw_only=True):
    """What a reload changed. Dotted keys of settings, ids of engines."""

    success: Literal[True] = True
    file: str
    settings: list[str]
    """Keys that have another value now, and are heeded."""
    needs_restart: list[str]
    """Keys that have another value in the file than this server goes by."""
    engines_changed: list[str]
    """Finish what they began, and are loaded anew when next asked for."""
    engines_removed: list[str]
    """Finish what they began, and are known no more."""

    def text(self) -> str:
        """One line for a person."""
        found = [
            ("settings", self.settings),
            ("engines to be loaded anew", self.engines_changed),
            ("engines removed", self.engines_removed),
            ("heeded only after a restart", self.needs_restart),
        ]
        told = [f"{what}: {', '.join(which)}" for what, which in found if which]
        return "settings read anew · " + (" · ".join(told) or "nothing has changed")


class Reloader:
    """Lives on one event loop. One reload runs at a time; those that wait find what it left."""

    def __init__(self, service: Service, read: Read) -> None:
        """``read`` reads everything as the start did, and may block."""
        self.began: Callable[[], None] = lambda: None
        """Called before each reload, and ``ended`` after it with a line that says how it went."""
        self.ended: Callable[[str], None] = lambda text: None
        self._service = service
        self._read = read
        self._in_force = service.settings
        self._turn = asyncio.Lock()
        self._running: set[asyncio.Task[Reloaded]] = set()

    async def reload(self) -> Reloaded:
        """Raises ReloadRefused, with the place of the mistake. A caller that goes away leaves it
        running: half a reload would be neither the old settings nor the new."""
        running = asyncio.create_task(self._reload(), name="read the settings anew")
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        return await asyncio.shield(running)

    async def _reload(self) -> Reloaded:
        async with self._turn:
            self.began()
            text = "the settings were not read anew"
            try:
                reloaded = await self._go_over(await asyncio.to_thread(self._read))
                text = reloaded.text()
            except KoloError as error:
                text = f"settings not changed: {error.message}"
                self._tell(logging.ERROR, text)
                raise ReloadRefused(
                    f"nothing was changed: {error.message}", hint=error.hint, param=error.param
                ) from error
            finally:
                self.ended(text)
            self._tell(logging.WARNING if reloaded.needs_restart else logging.INFO, text)
            return reloaded

    async def _go_over(self, settings: Settings) -> Reloaded:
        service = self._service
        heeded = [key for key in changed_keys(service.settings, settings) if is_live(key)]
        renewed: Renewed = await service.manager.follow(settings)
        service.follow(settings)
        for id in renewed.removed:
            service.monitor.removed(id)
        service.monitor.feed.reloaded()
        return Reloaded(
            file=str(settings.file or ""),
            settings=heeded,
            needs_restart=[
                key
                for key in changed_keys(self._in_force, settings)
                if not is_live(key) and not _is_under(key, ELSEWHERE)
            ],
            engines_changed=renewed.changed,
            engines_removed=renewed.removed,
        )

    def _tell(self, level: int, text: str) -> None:
        log.log(level, "%s", text)
        words: dict[int, Literal["info", "warning", "error"]] = {
            logging.ERROR: "error",
            logging.WARNING: "warning",
        }
        self._service.monitor.log.add("config", text, level=words.get(level, "info"))


def is_live(key: str) -> bool:
    """Whether a change of ``key`` is heeded without a restart."""
    return _is_under(key, LIVE) and key not in ONLY_AT_START


def _is_under(key: str, places: tuple[str, ...]) -> bool:
    return any(key == place or key.startswith(f"{place}.") for place in places)
