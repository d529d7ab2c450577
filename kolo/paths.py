"""Where Kolo keeps things: config, data, state, cache and runtime folders.

``KOLO_HOME`` puts all five into one folder. Else each is systemd's if a unit gives it (see
systemd.exec(5), RuntimeDirectory=), else the XDG base directory's (specification 0.8), else its
usual place under the home folder. Nothing is created until ``create`` is called.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from kolo.errors import ConfigError


class Paths(Struct, frozen=True):
    """The five folders; see ``find_paths``."""

    config: Path
    """``config.toml``."""
    data: Path
    """Models; large, and dear to fetch again."""
    state: Path
    """History, logs, databases."""
    cache: Path
    """May be deleted at any time."""
    runtime: Path
    """Sockets; private (0700), gone after a reboot."""

    @property
    def prefixes(self) -> Path:
        """What engines had cached when they were unloaded."""
        return self.cache / "prefixes"

    def create(self) -> None:
        """Make the folders that are missing; ConfigError if one cannot be made or is not ours."""
        for folder in (self.config, self.data, self.state, self.cache):
            _make(folder, 0o755)
        _make(self.runtime, 0o700)
        status = self.runtime.lstat()
        if stat.S_ISLNK(status.st_mode) or status.st_uid != os.getuid():
            raise ConfigError(
                f"the runtime folder {self.runtime} belongs to somebody else",
                hint="Remove it, or set XDG_RUNTIME_DIR or KOLO_HOME to a folder of your own.",
            )
        if stat.S_IMODE(status.st_mode) != 0o700:
            self.runtime.chmod(0o700)


def find_paths(env: Mapping[str, str]) -> Paths:
    """The folders for an environment; ConfigError for a variable that cannot be used."""
    if home := env.get("KOLO_HOME"):
        root = Path(home).expanduser().absolute()
        return Paths(*(root / name for name in ("config", "data", "state", "cache", "run")))
    state = _folder(env, "STATE_DIRECTORY", "XDG_STATE_HOME", ".local/state")
    by_systemd = state / "data" if env.get("STATE_DIRECTORY") else None
    return Paths(
        config=_folder(env, "CONFIGURATION_DIRECTORY", "XDG_CONFIG_HOME", ".config"),
        data=by_systemd or _folder(env, "", "XDG_DATA_HOME", ".local/share"),
        state=state,
        cache=_folder(env, "CACHE_DIRECTORY", "XDG_CACHE_HOME", ".cache"),
        runtime=_runtime(env),
    )


def find_hub_cache(env: Mapping[str, str]) -> Path:
    """Where Hugging Face's own tools keep what they fetch: HF_HUB_CACHE, HF_HOME/hub or
    ~/.cache/huggingface/hub (huggingface_hub, "Environment variables")."""
    home = env.get("HF_HOME") or f"{env.get('XDG_CACHE_HOME') or '~/.cache'}/huggingface"
    folder = Path(env.get("HF_HUB_CACHE") or f"{home}/hub")
    if folder.parts[:1] == ("~",):
        folder = _home(env).joinpath(*folder.parts[1:])
    return folder.absolute()


def _folder(env: Mapping[str, str], systemd: str, xdg: str, default: str) -> Path:
    if given := env.get(systemd):
        return _absolute(systemd, given.split(":")[0])
    if base := env.get(xdg):
        return _absolute(xdg, base) / "kolo"
    return _home(env) / default / "kolo"


def _runtime(env: Mapping[str, str]) -> Path:
    if env.get("RUNTIME_DIRECTORY") or env.get("XDG_RUNTIME_DIR"):
        return _folder(env, "RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR", "")
    temporary = _absolute("TMPDIR", env.get("TMPDIR") or "/tmp")
    return temporary / f"kolo-{os.getuid()}"


def _home(env: Mapping[str, str]) -> Path:
    if home := env.get("HOME"):
        return _absolute("HOME", home)
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        raise ConfigError(
            f"no home folder: HOME is not set, and user {os.getuid()} has no passwd entry",
            hint="Set KOLO_HOME to a folder Kolo may use.",
        ) from None


def _absolute(variable: str, value: str) -> Path:
    if not value.startswith("/"):
        raise ConfigError(
            f"{variable} must be an absolute path, found {value!r}",
            hint=f"Correct or unset {variable}.",
            param=variable,
        )
    return Path(value)


def _make(folder: Path, mode: int) -> None:
    try:
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"cannot make the folder {folder}: {error.strerror}",
            hint="Set KOLO_HOME to a folder Kolo may write to.",
        ) from error
