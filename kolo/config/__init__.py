"""Settings: one schema, and for each value where it came from.

Defaults, then the file (``config.toml``), then the environment (``KOLO_SECTION_KEY``), then
flags; the later wins, key by key. An unknown key or a value of the wrong type is refused with
its place, wherever it came from. ``config.toml.example`` lists every key.

``schema`` says which keys there are, ``keys`` lists them flat. ``reading`` merges the sources:
``tables`` of the file and its profiles, ``environment`` by one rule, ``models`` over ``[engine]``;
``problems`` are all told at once. ``rows`` shows what holds and where it came from. ``naming``,
``editing`` and ``writing`` change the file; ``example`` and ``json_schema`` document it.
"""

from __future__ import annotations

from kolo.config.keys import known_keys, known_model_keys
from kolo.config.reading import load_settings
from kolo.config.schema import (
    BUILTIN_MODEL,
    AccessSettings,
    ChatSettings,
    CommandSettings,
    CorsSettings,
    DownloadSettings,
    HistorySettings,
    LogSettings,
    ManagerSettings,
    ModelSettings,
    MonitorSettings,
    OtelSettings,
    ServerSettings,
    Settings,
    StoreSettings,
)

__all__ = [
    "BUILTIN_MODEL",
    "AccessSettings",
    "ChatSettings",
    "CommandSettings",
    "CorsSettings",
    "DownloadSettings",
    "HistorySettings",
    "LogSettings",
    "ManagerSettings",
    "ModelSettings",
    "MonitorSettings",
    "OtelSettings",
    "ServerSettings",
    "Settings",
    "StoreSettings",
    "known_keys",
    "known_model_keys",
    "load_settings",
]
