"""``kolo __complete KIND``: what a shell offers where only this machine knows: names of models, of
engines, of settings.

A key was pressed and somebody waits, so this reads small files directly, imports next to nothing,
gives up after ``DEADLINE_S`` (KOLO_COMPLETION_TIMEOUT) and never says that anything was wrong: it
then offers less. Each line is a value, and after a tab what it is. ``kolo.cli.shells.kinds`` says
where each kind is used; a test compares the names with those that ``kolo ls`` knows.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

DEADLINE_S = 0.5
"""After which the process ends whatever it does."""
SOCKET_S = 0.15
"""How long a server has to say what it has loaded."""
MAX_FOLDERS = 1000
MAX_ANSWER_BYTES = 8 << 20

Offer = tuple[str, str]
"""A value and what it is."""
Settings = dict[str, Any]


def main(args: list[str]) -> int:
    """Write the offers of a kind to stdout. Always 0."""
    signal.signal(signal.SIGALRM, _give_up)
    try:
        signal.setitimer(signal.ITIMER_REAL, _patience(DEADLINE_S))
        kind, *more = args
        given = more[:1] if kind in WITH_ARGUMENT else []
        for value, about in OFFERS[kind](*given):
            if value.isprintable() and value:
                sys.stdout.write(f"{value}\t{about}\n" if about else f"{value}\n")
        sys.stdout.flush()
    except Exception:  # whatever it is, the line that is being typed must stay as it is
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nor may a flush at the end complain
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return 0


def _give_up(*_: object) -> None:
    """End with what was found until now; and if nobody takes even that, without."""
    signal.signal(signal.SIGALRM, lambda number, frame: os._exit(0))
    signal.setitimer(signal.ITIMER_REAL, SOCKET_S)
    try:
        sys.stdout.flush()
    finally:
        os._exit(0)


def _patience(usual_s: float) -> float:
    """How long to wait: as usual, or as the person says."""
    return float(os.environ.get("KOLO_COMPLETION_TIMEOUT") or usual_s)


# Models -----------------------------------------------------------------------------------------


def models() -> Iterator[Offer]:
    """Everything that ``kolo ls`` shows, and the aliases."""
    yield "guide", "the model that comes with Kolo"
    settings = _settings()
    sources = (_configured, _stored, _aliases, _in_folders, _hub_cache)
    for source in sources:
        try:
            yield from source(settings)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # a source that cannot be read hides no other


def _configured(settings: Settings) -> Iterator[Offer]:
    for name, table in _tables(settings, "models"):
        yield name, str(table.get("description") or table.get("path") or "")
        for alias in _texts(table.get("aliases")):
            yield alias, f"alias of {name}"


def stored() -> Iterator[Offer]:
    """The names of the store."""
    return _stored(_settings())


def aliases() -> Iterator[Offer]:
    """Those of ``kolo alias``."""
    return _aliases(_settings())


def _stored(settings: Settings) -> Iterator[Offer]:
    index = _json(_store(settings) / "index.json")
    if isinstance(index, dict):
        for each in index.get("models", ()):
            yield each["name"], "store"
        return
    from urllib.parse import unquote

    for home in sorted(os.listdir(_store(settings) / "names")):
        if not home.startswith("."):
            yield unquote(home), "store"


def _aliases(settings: Settings) -> Iterator[Offer]:
    for alias, target in (_json(_store(settings) / "aliases.json") or {}).items():
        yield alias, f"alias of {target}"


def versions(name: str = "") -> Iterator[Offer]:
    """The versions of a model of the store."""
    index = _json(_store(_settings()) / "index.json") or {}
    for each in index.get("models", ()):
        if each["name"] == name:
            for version in each["versions"]:
                in_use = version["id"] == each.get("current")
                yield version["id"], "in use" if in_use else str(version.get("source", ""))


def _in_folders(settings: Settings) -> Iterator[Offer]:
    """The models of the folders that the settings name, and of those right below."""
    for folder in _texts(_setting(settings, "store", "folders")):
        here, below = _gguf_files(_absolute(folder))
        yield from ((name, "folder") for name in here)
        for path in below[:MAX_FOLDERS]:
            inner, _ = _gguf_files(path)
            yield from ((name, "folder") for name in inner)


def _gguf_files(folder: Path) -> tuple[list[str], list[Path]]:
    """The names of the models of a folder, and the folders in it."""
    import re

    names: dict[str, None] = {}
    below = []
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda each: each.name):
            low = entry.name.lower()
            if low.startswith("."):
                continue
            if entry.is_dir():
                below.append(Path(entry.path))
            elif low.endswith(".gguf") and not low.startswith("mmproj"):
                names[re.sub(r"-\d{5}-of-\d{5}$", "", entry.name[:-5])] = None
    return list(names), below


def _hub_cache(settings: Settings) -> Iterator[Offer]:
    """``OWNER/REPO:QUANT`` of what Hugging Face's tools have fetched."""
    given = _setting(settings, "store", "hub_cache")
    if given == "off":
        return
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or f"{cache}/huggingface"
    folder = Path(given or os.environ.get("HF_HUB_CACHE") or f"{home}/hub").expanduser()
    if not folder.is_dir():
        return
    repos = [name for name in sorted(os.listdir(folder)) if name.startswith("models--")]
    if not any(True for repo in repos for _ in folder.joinpath(repo).glob("snapshots/*/*.gguf")):
        return
    from kolo.models.hub_cache import cached  # takes a while, and is needed by few

    for each in cached(folder)[0]:
        yield each.name, "hub"


# A running server -------------------------------------------------------------------------------


def engines() -> Iterator[Offer]:
    """The engines of the server on this machine, as its monitor socket says."""
    for each in _snapshot().get("engines", ()):
        if each.get("state") not in (None, "unloaded"):
            yield each["id"], each["state"]


def every_engine() -> Iterator[Offer]:
    """All that the server knows, loaded or not."""
    for each in _snapshot().get("engines", ()):
        yield each["id"], each.get("state", "")


def urls() -> Iterator[Offer]:
    """The server that runs here."""
    beacon = _json(_runtime() / "server.json")
    if isinstance(beacon, dict):
        os.kill(beacon["pid"], 0)
        yield beacon["url"], f"process {beacon['pid']}"


def _snapshot() -> dict[str, Any]:
    """The first snapshot that the monitor socket gives; empty if it gives none in time."""
    import json
    import socket
    import time

    settings = _settings()
    given = _setting(settings, "monitor", "socket")
    path = (
        _config_file().parent / Path(given).expanduser() if given else _runtime() / "monitor.sock"
    )
    patience = _patience(SOCKET_S)
    end = time.monotonic() + patience
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(patience)
        connection.connect(str(path))
        data = b""
        while len(data) < MAX_ANSWER_BYTES and (left := end - time.monotonic()) > 0:
            connection.settimeout(left)
            more = connection.recv(1 << 16)
            if not more:
                break
            data += more
            *lines, data = data.split(b"\n")
            for line in lines:
                if b'"snapshot"' in line:
                    message = json.loads(line)
                    if message.get("type") == "snapshot":
                        return dict(message)
    return {}


# Settings ---------------------------------------------------------------------------------------


def keys() -> Iterator[Offer]:
    """Every key of the settings, with those of the models that the file names."""
    from kolo.config.example import summary
    from kolo.config.keys import LEAVES, MODEL_LEAVES

    for key in LEAVES:
        yield key, summary(tuple(key.split(".")))
    for name, _ in _tables(_settings(), "models"):
        for key in MODEL_LEAVES:
            yield f"models.{name}.{key}", ""


def removable() -> Iterator[Offer]:
    """The keys that stand in the settings file, and its models and profiles."""
    from kolo.toml import Document

    table = Document.read(_config_file(), required=False).table
    yield from _keys_of(table, "")


def sections() -> Iterator[Offer]:
    """The sections of the settings, and their keys."""
    found = list(keys())
    yield from ((name, "section") for name in dict.fromkeys(k.partition(".")[0] for k, _ in found))
    yield from found


def values(key: str = "") -> Iterator[Offer]:
    """What a key of the settings takes, where that is a choice; and what it is now."""
    from kolo.config.naming import find_key
    from kolo.values import choices, holds

    found = find_key(key)
    for value in choices(found.kind):
        if isinstance(value, str):
            yield value, ""
    if holds(found.kind, bool):
        yield from (("true", ""), ("false", ""))
    if found.own in ("default_model", "chat.model", "complete.model", "embed.model"):
        yield from models()
    if found.own == "profile":
        yield from profiles()


def profiles() -> Iterator[Offer]:
    """Those of the settings file."""
    for name, _ in _tables(_settings(), "profiles"):
        yield name, ""
    yield "none", "no profile"


def sessions() -> Iterator[Offer]:
    """The conversations that ``kolo chat`` has kept, the newest first."""
    for name in sorted(os.listdir(_folder("state") / "chats"), reverse=True):
        if name.endswith(".json"):
            yield name.removesuffix(".json"), ""


def api_keys() -> Iterator[Offer]:
    """The API keys that hold, by name."""
    for key in (_json(_folder("state") / "keys.json") or {}).get("keys", ()):
        if not key.get("revoked"):
            yield key["name"], key["id"]


def runs() -> Iterator[Offer]:
    """The runs that ``kolo bench`` has kept under a name."""
    yield "last", "the latest"
    for name in sorted(os.listdir(_folder("state") / "bench")):
        if name.endswith(".json"):
            yield name.removesuffix(".json"), ""


def _keys_of(table: dict[str, Any], above: str) -> Iterator[Offer]:
    for name, value in table.items():
        shown = f"{above}{name}"
        if isinstance(value, dict):
            if above in ("models.", "profiles."):
                yield shown, "all of it"
            yield from _keys_of(value, f"{shown}.")
        else:
            yield shown, ""


# Reading ----------------------------------------------------------------------------------------


def _settings() -> Settings:
    import tomllib

    try:
        return tomllib.loads(_config_file().read_text())
    except (OSError, ValueError):
        return {}


def _setting(settings: Settings, section: str, key: str) -> Any:
    """A value of the variable or the file."""
    if text := os.environ.get(f"KOLO_{section}_{key}".upper()):
        return text.split(",") if key == "folders" else text
    return settings.get(section, {}).get(key)


def _tables(settings: Settings, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    found = settings.get(kind, {})
    for name, table in found.items() if isinstance(found, dict) else ():
        if isinstance(table, dict):
            yield name, table


def _config_file() -> Path:
    return Path(os.environ.get("KOLO_CONFIG") or _folder("config") / "config.toml")


def _store(settings: Settings) -> Path:
    given = _setting(settings, "store", "dir")
    return _absolute(given) if given else _folder("data") / "models"


def _absolute(folder: str) -> Path:
    """A relative one stands in the file."""
    return _config_file().parent / Path(folder).expanduser()


def _folder(name: str) -> Path:
    from kolo.paths import find_paths

    found: Path = getattr(find_paths(os.environ), name)
    return found


def _runtime() -> Path:
    return _folder("runtime")


def _json(path: Path) -> Any:
    import json

    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def _texts(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


WITH_ARGUMENT = ("values", "versions")
"""Kinds that depend on the first argument of the command, which follows the kind."""
OFFERS: dict[str, Callable[..., Iterable[Offer]]] = {
    "models": models,
    "stored": stored,
    "aliases": aliases,
    "versions": versions,
    "engines": engines,
    "every-engine": every_engine,
    "urls": urls,
    "keys": keys,
    "removable": removable,
    "sections": sections,
    "values": values,
    "profiles": profiles,
    "runs": runs,
    "sessions": sessions,
    "api-keys": api_keys,
}
