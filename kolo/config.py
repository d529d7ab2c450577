"""Settings: one schema, and for each value where it came from.

Defaults, then the file (``config.toml``), then the environment (``KOLO_SECTION_KEY``), then
flags; the later wins, key by key. An unknown key or a value of the wrong type is refused with
its place, wherever it came from. ``config.toml.example`` lists every key.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct, field
from msgspec.structs import fields, force_setattr, replace

from kolo.errors import ConfigError
from kolo.paths import find_hub_cache, find_paths
from kolo.toml import Document
from kolo.types import LoadParams
from kolo.units import Budget, Bytes, Seconds
from kolo.values import convert, convert_text

BUILTIN_MODEL = "guide"
"""The small model that is part of the package; no other may have its name."""


class ManagerSettings(Struct, frozen=True, kw_only=True):
    memory_budget: Budget | None = None
    """Memory that all engines together may take; None is what is free."""
    max_engines: Annotated[int, Meta(ge=0, le=10_000)] = 0
    """Engines loaded at a time; 0 is no limit but memory."""
    idle_unload_s: Seconds = field(default=Seconds(600), name="idle_unload")
    """How long an unused engine stays loaded; 0 is for ever."""
    load_timeout_s: Seconds = field(default=Seconds(600), name="load_timeout")
    max_queue: Annotated[int, Meta(ge=1, le=1_000_000)] = 256
    """Requests that may wait for a slot of one engine."""
    restart_backoff_s: Seconds = field(default=Seconds(1), name="restart_backoff")
    """Pause after an engine crashed twice in a row; doubles with each further crash."""
    restart_backoff_max_s: Seconds = field(default=Seconds(30), name="restart_backoff_max")


class ServerSettings(Struct, frozen=True, kw_only=True):
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8080
    request_timeout_s: Seconds = field(default=Seconds(600), name="request_timeout")
    max_body_bytes: Bytes = field(default=Bytes(32 << 20), name="max_body")
    body_timeout_s: Seconds = field(default=Seconds(60), name="body_timeout")
    """How long a client may take to send a request's body; 0 is for ever."""
    heartbeat_s: Seconds = field(default=Seconds(10), name="heartbeat")
    """Silence after which a stream sends a comment, so that nobody on the way ends it; 0 is
    never."""
    stop_timeout_s: Seconds = field(default=Seconds(30), name="stop_timeout")
    """How long running answers may go on once the server is told to stop."""


class StoreSettings(Struct, frozen=True, kw_only=True):
    """Models on disk. ``load_settings`` makes the folders absolute; in settings that come from
    nowhere an empty one means that there is none."""

    dir: str = ""
    """The store; empty is ``models`` in the data folder."""
    folders: list[str] = []
    """Further folders whose models are known by their names, and stay where they are."""
    hub_cache: str = ""
    """Where Hugging Face's own tools keep what they fetch, which is known too; empty is where
    HF_HUB_CACHE or HF_HOME say, ``off`` leaves it alone."""
    ollama_registry: str = "registry.ollama.ai"
    """The host, and port, of ``ollama:`` references."""


class DownloadSettings(Struct, frozen=True, kw_only=True):
    quant: Annotated[str, Meta(min_length=1, max_length=64)] = "Q4_K_M"
    """Taken from a repository when the reference names none, or what is nearest to it."""
    allow_private: bool = False
    """Whether requests to the server may make it fetch from addresses that are not public."""
    stall_timeout_s: Seconds = field(default=Seconds(30), name="stall_timeout")
    """A connection on which nothing comes for so long is given up and made anew."""
    insecure_registries: list[str] = []
    """Hosts, with the port if any, whose registry is asked over http."""


class MonitorSettings(Struct, frozen=True, kw_only=True):
    socket: str = ""
    """Unix socket of the monitor; empty is ``monitor.sock`` in the runtime folder."""


class HistorySettings(Struct, frozen=True, kw_only=True):
    """Figures, events and engine runs of a server, kept in ``history.db`` of the state folder."""

    enabled: bool = True
    max_size_bytes: Bytes = field(default=Bytes(64 << 20), name="max_size")
    """Of the file and its log, 4 MiB at least; the oldest goes first."""
    keep_minutes_s: Seconds = field(default=Seconds(2 * 86_400), name="keep_minutes")
    """How long figures of each minute are kept; those of ten minutes remain after that."""
    keep_ten_minutes_s: Seconds = field(default=Seconds(30 * 86_400), name="keep_ten_minutes")
    """How long those are kept; those of each hour, and of six, remain while there is room."""

    def __post_init__(self) -> None:
        if self.max_size_bytes < 4 << 20:
            raise ConfigError(
                f"history.max_size: expected 4MiB at least, found {self.max_size_bytes} bytes",
                hint="With history.enabled = false nothing is kept.",
                param="history.max_size",
            )


class OtelSettings(Struct, frozen=True, kw_only=True):
    """OpenTelemetry: a span for each request, and metrics, over OTLP/HTTP. Never a text."""

    enabled: bool = False
    endpoint: str = ""
    """Base URL of a collector; empty is what OTEL_EXPORTER_OTLP_ENDPOINT says, else
    http://localhost:4318."""


class CommandSettings(Struct, frozen=True, kw_only=True):
    """Of ``kolo chat`` or ``kolo complete``."""

    model: str = ""
    """Never empty in ``Settings``: ``default_model`` stands in."""


class ModelSettings(Struct, frozen=True, kw_only=True):
    """A ``[models.NAME]`` table; ``params`` are its own keys over those of ``[engine]``."""

    path: Path
    aliases: tuple[str, ...] = ()
    pin: bool = False
    """Never unloaded to make room, nor when idle."""
    ttl_s: Seconds | None = None
    """As ``idle_unload_s``, for this model alone."""
    description: str = ""
    params: LoadParams = LoadParams()


class Settings(Struct, frozen=True, kw_only=True):
    default_model: str = BUILTIN_MODEL
    engine: LoadParams = LoadParams()
    manager: ManagerSettings = ManagerSettings()
    server: ServerSettings = ServerSettings()
    store: StoreSettings = StoreSettings()
    downloads: DownloadSettings = DownloadSettings()
    monitor: MonitorSettings = MonitorSettings()
    history: HistorySettings = HistorySettings()
    otel: OtelSettings = OtelSettings()
    chat: CommandSettings = CommandSettings()
    complete: CommandSettings = CommandSettings()
    models: dict[str, ModelSettings] = {}
    file: Path | None = None
    """The file that was read, or would have been."""
    origins: dict[str, str] = {}
    """Dotted key to where its value came from, for every key that is not at its default."""

    def __post_init__(self) -> None:
        for section in ("chat", "complete"):
            if not getattr(self, section).model:
                force_setattr(self, section, CommandSettings(model=self.default_model))

    def origin(self, key: str) -> str:
        """``default``, ``FILE:LINE``, ``env NAME`` or ``flag --NAME``."""
        return self.origins.get(key, "default")


class _ModelKeys(Struct, kw_only=True):
    path: Annotated[str, Meta(min_length=1, max_length=4096)]
    aliases: list[str] = []
    pin: bool = False
    ttl: Seconds | None = None
    description: str = ""


class _Value(Struct, frozen=True):
    value: Any
    origin: str


def load_settings(
    env: Mapping[str, str] | None = None,
    path: Path | None = None,
    overrides: Mapping[str, tuple[str, Any]] | None = None,
) -> Settings:
    """Read everything once. ConfigError names the place, the key, and what was expected.

    ``path`` (or KOLO_CONFIG) is a file that must be there; ``config.toml`` in the config folder
    need not. ``overrides`` maps a dotted key to a flag as typed and its value:
    ``{"engine.ctx": ("--ctx", 4096)}``.
    """
    env = os.environ if env is None else env
    chosen = path or (Path(env["KOLO_CONFIG"]) if env.get("KOLO_CONFIG") else None)
    file = (chosen or find_paths(env).config / "config.toml").absolute()
    document = Document(file, required=chosen is not None)
    models = document.table.pop("models", {})

    values = dict(_from_table(document, document.table, _LEAVES, ()))
    values |= _from_environment(env)
    values |= _from_flags(overrides or {})
    plain = {key: value.value for key, value in values.items()}
    settings: Settings = _build(Settings, plain)
    settings = replace(
        settings,
        file=file,
        store=_store(settings, document, {key: v.origin for key, v in values.items()}, env),
        chat=replace(settings.chat, model=settings.chat.model or settings.default_model),
        complete=replace(
            settings.complete, model=settings.complete.model or settings.default_model
        ),
        origins={key: value.origin for key, value in values.items()},
    )
    engine = {key.removeprefix("engine."): v for key, v in plain.items() if key[:7] == "engine."}
    return _with_models(settings, document, models, engine)


def known_keys() -> list[str]:
    """Every dotted key but those of ``[models.NAME]`` tables."""
    return list(_LEAVES)


def known_model_keys() -> list[str]:
    """Every dotted key of a ``[models.NAME]`` table."""
    return list(_MODEL_LEAVES)


# The schema as a flat table ------------------------------------------------------------------


def _leaves(cls: type[Struct], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key and type of every value in ``cls``."""
    for item in fields(cls):
        key = prefix + item.encode_name
        if isinstance(item.type, type) and issubclass(item.type, Struct):
            yield from _leaves(item.type, f"{key}.")
        else:
            yield key, item.type


def _build(cls: Any, values: Mapping[str, Any], prefix: str = "") -> Any:
    """``cls`` from values by dotted key; what is left out keeps its default."""
    given = {}
    for item in fields(cls):
        key = prefix + item.encode_name
        if key in values:
            given[item.name] = values[key]
        elif any(other.startswith(f"{key}.") for other in values):
            given[item.name] = _build(item.type, values, f"{key}.")
    return cls(**given)


_INTERNAL = ("models", "file", "origins")
_LEAVES = {key: kind for key, kind in _leaves(Settings) if key not in _INTERNAL}
_LOAD_LEAVES = dict(_leaves(LoadParams))
_MODEL_LEAVES = {**dict(_leaves(_ModelKeys)), **_LOAD_LEAVES}
_MODEL_TABLES = {key.split(".")[0] for key in _MODEL_LEAVES if "." in key}
_VARIABLES = {f"KOLO_{key.upper().replace('.', '_')}": key for key in _LEAVES}
_VARIABLE_SECTIONS = tuple(f"KOLO_{key.split('.')[0].upper()}_" for key in _LEAVES if "." in key)


# The three sources ---------------------------------------------------------------------------


def _from_table(
    document: Document,
    table: Mapping[str, Any],
    leaves: Mapping[str, Any],
    where: tuple[str, ...],
    prefix: str = "",
) -> Iterator[tuple[str, _Value]]:
    """Converted values of ``table`` by their key in ``leaves``; ``where`` leads to the table."""
    for name, raw in table.items():
        key = prefix + name
        origin = document.origin((*where, name))
        shown = ".".join((*where, name))
        if key in leaves:
            value = convert(raw, leaves[key], shown, origin)
            if name == "lora":
                value = [replace(lora, path=str(_file_path(document, lora.path))) for lora in value]
            elif name == "draft_model":
                value = str(_file_path(document, value))
            yield key, _Value(value, origin)
        elif any(leaf.startswith(f"{key}.") for leaf in leaves):
            if not isinstance(raw, dict):
                raise ConfigError(
                    f"{origin}: {shown}: expected a table, found {raw!r}", param=shown
                )
            yield from _from_table(document, raw, leaves, (*where, name), f"{key}.")
        else:
            raise _unknown(shown, origin, key, leaves, where[: len(where) - prefix.count(".")])


def _from_environment(env: Mapping[str, str]) -> Iterator[tuple[str, _Value]]:
    """Values of KOLO_ variables; an empty one counts as not set.

    A variable that is no key is refused if it starts like a section or is nearly a key. Others
    (KOLO_HOME, KOLO_DEBUG) are somebody else's business.
    """
    for name, text in env.items():
        if not name.startswith("KOLO_") or not text:
            continue
        if key := _VARIABLES.get(name):
            origin = f"env {name}"
            yield key, _Value(convert_text(text, _LEAVES[key], key, origin), origin)
        else:
            near = difflib.get_close_matches(name, _VARIABLES, n=1, cutoff=0.85)
            if near or name.startswith(_VARIABLE_SECTIONS):
                raise ConfigError(
                    f"env {name}: no such setting",
                    hint=f"Did you mean {near[0]}?" if near else "Unset it.",
                    param=name,
                )


def _from_flags(flags: Mapping[str, tuple[str, Any]]) -> Iterator[tuple[str, _Value]]:
    for key, (flag, raw) in flags.items():
        origin = f"flag {flag}"
        if key not in _LEAVES:
            raise _unknown(key, origin, key, _LEAVES, ())
        to_type = convert_text if isinstance(raw, str) else convert
        yield key, _Value(to_type(raw, _LEAVES[key], key, origin), origin)


# Models --------------------------------------------------------------------------------------


def _with_models(
    settings: Settings, document: Document, tables: Any, engine: Mapping[str, Any]
) -> Settings:
    if not isinstance(tables, dict):
        raise ConfigError(f"{document.file}: models must be a table, found {tables!r}")
    models: dict[str, ModelSettings] = {}
    taken = {BUILTIN_MODEL: "the builtin model"}
    origins = dict(settings.origins)
    for name, table in tables.items():
        where = ("models", name)
        origin = document.origin(where)
        if not isinstance(table, dict):
            raise ConfigError(f"{origin}: models.{name}: expected a table, found {table!r}")
        for key, raw in table.items():
            if isinstance(raw, dict) and key not in _MODEL_TABLES:
                raise ConfigError(
                    f"{document.origin((*where, key))}: models.{name}.{key} is a table",
                    hint=f'If the name has a dot, quote it: [models."{name}.{key}"]',
                )
        values = dict(_from_table(document, table, _MODEL_LEAVES, where))
        if "path" not in values:
            raise ConfigError(
                f"{origin}: models.{name} has no path",
                hint='Give the file of the model: path = "/where/it/is.gguf"',
                param=f"models.{name}.path",
            )
        plain = {key: value.value for key, value in values.items()}
        models[name] = ModelSettings(
            path=_file_path(document, plain["path"]),
            aliases=tuple(plain.get("aliases", ())),
            pin=plain.get("pin", False),
            ttl_s=plain.get("ttl"),
            description=plain.get("description", ""),
            params=_build(
                LoadParams, {**engine, **{k: v for k, v in plain.items() if k in _LOAD_LEAVES}}
            ),
        )
        for own in (name, *models[name].aliases):
            _check_name(own, origin, taken)
            taken[own] = f"models.{name}"
        origins |= {f"models.{name}.{key}": value.origin for key, value in values.items()}
    return replace(settings, models=models, origins=origins)


def _check_name(name: str, origin: str, taken: Mapping[str, str]) -> None:
    if not name or len(name) > 256 or not name.isprintable() or name != name.strip():
        raise ConfigError(f"{origin}: {name!r} cannot be a model's name or alias")
    if name in taken:
        raise ConfigError(f"{origin}: the name {name!r} is already that of {taken[name]}")


def _store(
    settings: Settings, document: Document, origins: Mapping[str, str], env: Mapping[str, str]
) -> StoreSettings:
    """The folders as absolute paths: those of the file are relative to it."""
    given = settings.store

    def absolute(path: str, key: str) -> str:
        in_file = origins.get(f"store.{key}", "").startswith(str(document.file))
        here = path if in_file or path.startswith("~") else str(Path(path).absolute())
        return str(_file_path(document, here).absolute())

    if given.hub_cache == "off":
        cache = ""
    elif given.hub_cache:
        cache = absolute(given.hub_cache, "hub_cache")
    else:
        cache = str(find_hub_cache(env))
    return replace(
        given,
        dir=absolute(given.dir, "dir") if given.dir else str(find_paths(env).data / "models"),
        folders=[absolute(folder, "folders") for folder in given.folders],
        hub_cache=cache,
    )


def _file_path(document: Document, path: str) -> Path:
    """A path in the file is relative to the file; ``~`` is the home folder."""
    try:
        return document.file.parent / Path(path).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{document.file}: {path}: {error}") from None


def _unknown(
    shown: str, origin: str, key: str, leaves: Mapping[str, Any], where: tuple[str, ...]
) -> ConfigError:
    """The error for a key that does not exist, with the nearest that does."""
    near = difflib.get_close_matches(key, leaves, n=1)
    last = key.rpartition(".")[2]
    near = near or [leaf for leaf in leaves if leaf.rpartition(".")[2] == last][:1]
    hint = f"Did you mean {'.'.join((*where, near[0]))}?" if near else "See config.toml.example."
    return ConfigError(f"{origin}: no such setting: {shown}", hint=hint, param=shown)
