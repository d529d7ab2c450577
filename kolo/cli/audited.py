"""What commands themselves put into the audit log."""

from __future__ import annotations

import os
import pwd

from msgspec.structs import replace

from kolo.audit import audit_file, record
from kolo.cli.output import talk
from kolo.errors import ConfigError
from kolo.paths import Paths, find_paths


def server_paths() -> Paths:
    """The folders of the server that is meant: for root, who runs none of his own, those of the
    machine's service."""
    from kolo.service.unit import STATE

    paths = find_paths(os.environ)
    given = any(os.environ.get(name) for name in ("KOLO_HOME", "STATE_DIRECTORY", "XDG_STATE_HOME"))
    if os.getuid() == 0 and not given and STATE.is_dir() and not paths.state.exists():
        return replace(paths, state=STATE)
    return paths


def note(paths: Paths, action: str, subject: str, outcome: str = "ok") -> None:
    """Record what was done. It was done already: a log that cannot be written is only said."""
    try:
        record(audit_file(paths), who=_user(), action=action, subject=subject, outcome=outcome)
    except ConfigError as error:
        talk(f"this is missing in the audit log: {error.message}")


def _user() -> str:
    """The user at the terminal; behind sudo, the one who ran it."""
    uid = os.getuid()
    asked = os.environ.get("SUDO_UID", "")
    if uid == 0 and asked.isdecimal():
        return f"user {asked} ({_name(int(asked))}) as root"
    return f"user {uid} ({_name(uid)})"


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return "without a name"
