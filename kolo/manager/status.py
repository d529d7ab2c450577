"""What is known of an engine, as the list of engines tells it."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from kolo.errors import ErrorInfo
from kolo.types import LoadParams, ModelInfo

State = Literal["unloaded", "loading", "loaded", "unloading", "failed"]
"""See ``manager.entry``."""


class EngineStatus(Struct, frozen=True, kw_only=True):
    """One line of the list of engines. Times in seconds."""

    id: str
    state: State
    stage: str
    """What a load is doing, such as ``memory`` (waiting for it) or ``weights``."""
    progress: float
    """Of the stage, 0 to 1."""
    error: ErrorInfo | None
    """Why it failed."""
    pid: int | None
    in_flight: int
    leases: int
    pinned: bool
    ttl_s: float
    """Idle time after which it is unloaded; 0 for never."""
    expires_s: float | None
    """Time until then; None while it is not counting."""
    memory_bytes: int
    """Host memory: measured once loaded, estimated before; 0 when there is none."""
    device_bytes: int
    """Memory on GPUs, as estimated."""
    last_used: float
    """Reading of the manager's clock."""
    source: str
    path: str
    aliases: tuple[str, ...]
    description: str
    params: LoadParams
    """What it is loaded with, or will be; what is left open there, ``info`` tells."""
    info: ModelInfo | None
