"""Installing the unit and asking systemd about it, through ``systemctl``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from msgspec import Struct

import kolo
from kolo.errors import KoloError, UsageError
from kolo.service.unit import MARK, NAME, system_unit, user_unit
from kolo.whole import write_whole

SYSTEM_FOLDER = Path("/etc/systemd/system")
CALL_S = 30.0
"""The longest a question to systemctl may take."""
GPU_GROUPS = ("render", "video")
"""Who may use GPUs other than NVIDIA's, on most distributions."""
_PACKAGE = Path(kolo.__file__)


class ServiceError(KoloError):
    """systemd is not there, or did not do as it was told."""

    code = "service_failed"


class Status(Struct, kw_only=True):
    """What systemd knows of the service. Empty where it has nothing to say."""

    installed: bool
    unit: str
    """Path of the unit file."""
    enabled: bool = False
    """Started with the machine, or with the person's session."""
    state: str = ""
    """``active``, ``inactive``, ``failed``, ``activating``, ``deactivating`` or ``reloading``."""
    pid: int | None = None
    since: str = ""
    restarts: int = 0
    text: str = ""
    """What the service last said of itself."""
    result: str = ""
    """Why it ended: ``success``, ``exit-code``, ``watchdog``, ``oom-kill`` and so on."""

    @property
    def runs(self) -> bool:
        return self.state in ("active", "reloading", "activating")


@dataclass(frozen=True)
class Service:
    """The service of this machine, or of one person (``personal``)."""

    personal: bool = False
    account: str = ""
    """Runs as this user instead of one that systemd makes up; of a machine's service."""
    systemctl: str = "systemctl"

    @property
    def path(self) -> Path:
        """Where the unit file is."""
        if not self.personal:
            return SYSTEM_FOLDER / NAME
        base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
        return Path(base) / "systemd" / "user" / NAME

    def unit(self) -> str:
        """The text of the unit for this installation of Kolo."""
        command = serve_command()
        if self.personal:
            return user_unit(command)
        in_home = any(command[0].startswith(f"{home}/") for home in ("/home", "/root", "/run/user"))
        groups = [] if self.account else [group for group in GPU_GROUPS if _there(group)]
        home = "read-only" if in_home else "yes"
        return system_unit(command, account=self.account, groups=groups, home=home)

    # What can be done with it ---------------------------------------------------------------

    def install(self) -> bool:
        """Write the unit and have it started with the machine; whether the file is new or another.

        Raises ServiceError without systemd, for a unit that is somebody else's, and for an
        installation that the service's user could not run.
        """
        self._need_systemd()
        if not self.personal and not self.account:
            for needed in (Path(serve_command()[0]), Path(sys.executable).resolve(), _PACKAGE):
                _check_reachable(needed)
        text = self.unit()
        before = self._own_text()
        if before != text:
            self._write(text)
        self._call("daemon-reload")
        self._call("enable", NAME)
        return before != text

    def uninstall(self) -> bool:
        """Stop it and remove the unit; False if there is none."""
        self._need_systemd()
        if self._own_text() is None:
            return False
        self._call("disable", "--now", NAME, timeout_s=None)
        try:
            self.path.unlink()
        except OSError as error:
            raise self._no_leave(error) from error
        self._call("daemon-reload")
        self._call("reset-failed", NAME, may_fail=True)
        return True

    def act(self, verb: str) -> None:
        """``start``, ``stop``, ``restart`` or ``reload``, and wait for it."""
        self._need_systemd()
        if not self.path.exists():
            raise self._not_installed()
        self._call(verb, NAME, timeout_s=None)  # systemd has deadlines of its own

    def status(self) -> Status:
        """How it is now."""
        self._need_systemd()
        names = (
            "LoadState", "UnitFileState", "ActiveState", "MainPID", "ActiveEnterTimestamp",
            "NRestarts", "StatusText", "Result", "FragmentPath",
        )  # fmt: skip
        told = _properties(self._call("show", NAME, f"--property={','.join(names)}"))
        runs = told.get("MainPID", "0") != "0"
        return Status(
            installed=told.get("LoadState") == "loaded",
            unit=told.get("FragmentPath", "") or str(self.path),
            enabled=told.get("UnitFileState") == "enabled",
            state=told.get("ActiveState", ""),
            pid=int(told["MainPID"]) if runs else None,
            since=told.get("ActiveEnterTimestamp", "") if runs else "",
            restarts=int(told.get("NRestarts") or 0),
            text=told.get("StatusText", ""),
            result=told.get("Result", ""),
        )

    # Inside ---------------------------------------------------------------------------------

    def _need_systemd(self) -> None:
        known = shutil.which(self.systemctl) is not None
        state = self._run("is-system-running").stdout.strip() if known else ""
        if state in ("", "offline", "unknown"):
            which = "your own systemd does" if self.personal and known else "systemd does"
            raise ServiceError(
                f"{which} not run here, so there is nothing to install a service into",
                hint="Run 'kolo serve' under whatever starts programs here (a container runs it "
                "as its command), or see the unit with --dry-run.",
            )

    def _own_text(self) -> str | None:
        """The unit file as it is, None without one. ServiceError for one that is not ours."""
        try:
            text = self.path.read_text()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._no_leave(error) from error
        if not text.startswith(MARK):
            raise ServiceError(
                f"{self.path} was not written by Kolo and is left alone",
                hint=f"Move it away, or keep it and use systemctl with {NAME}.",
            )
        return text

    def _write(self, text: str) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.path, text.encode())
            self.path.chmod(0o644)
        except OSError as error:
            raise self._no_leave(error) from error

    def _no_leave(self, error: OSError) -> ServiceError:
        hint = "sudo kolo service …, or --user for a service of your own"
        return ServiceError(f"{self.path}: {error.strerror}", hint="" if self.personal else hint)

    def _not_installed(self) -> ServiceError:
        flag = " --user" if self.personal else ""
        return ServiceError(
            f"the service is not installed: there is no {self.path}",
            hint=f"kolo service install{flag}",
        )

    def _call(self, *words: str, may_fail: bool = False, timeout_s: float | None = CALL_S) -> str:
        done = self._run(*words, timeout_s=timeout_s)
        if done.returncode and not may_fail:
            said = (done.stderr or done.stdout).strip().splitlines() or ["it did not say why"]
            raise ServiceError(
                f"systemctl {words[0]} failed: {said[0]}", hint=self._after(words[0])
            )
        return done.stdout

    def _after(self, verb: str) -> str:
        scope = "--user " if self.personal else ""
        if verb in ("start", "restart", "reload"):
            return f"journalctl {scope}-u kolo -n 30"
        return "" if self.personal or os.geteuid() == 0 else "sudo, or --user for your own"

    def _run(
        self, *words: str, timeout_s: float | None = CALL_S
    ) -> subprocess.CompletedProcess[str]:
        scope = ["--user"] if self.personal else []
        command = [self.systemctl, *scope, "--no-pager", "--no-ask-password", *words]
        try:
            return subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
                env={**os.environ, "LC_ALL": "C.UTF-8"},
            )
        except subprocess.TimeoutExpired:
            raise ServiceError(
                f"systemctl {words[0]} did not come back within {CALL_S:g} s",
                hint="systemctl status kolo",
            ) from None


def serve_command() -> list[str]:
    """How the service starts this installation: no flag, so that config.toml says it all."""
    script = Path(sys.executable).parent / "kolo"
    if script.is_file() and os.access(script, os.X_OK):
        return [str(script), "serve"]
    return [sys.executable, "-m", "kolo", "serve"]


def check_account(name: str) -> None:
    """UsageError for a user that does not exist."""
    import pwd

    try:
        pwd.getpwnam(name)
    except KeyError:
        raise UsageError(
            f"--as {name}: there is no such user",
            hint=f"sudo useradd --system {name}, or leave --as out",
        ) from None


def _check_reachable(file: Path) -> None:
    """The user that systemd makes up must come as far as ``file``: a closed home hides it."""
    for folder in reversed(file.parents):
        try:
            closed = not folder.stat().st_mode & 0o001
        except OSError:
            return
        if closed:
            raise ServiceError(
                f"{file} is in {folder}, which is closed to other users, the service's too",
                hint="Install Kolo where all can read it (/opt/kolo), or use --as or --user.",
            )


def _there(group: str) -> bool:
    import grp

    try:
        grp.getgrnam(group)
    except KeyError:
        return False
    return True


def _properties(text: str) -> Mapping[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
