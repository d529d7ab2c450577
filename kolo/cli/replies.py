"""What commands answer with ``--json`` where no other room has a type for it.

Sizes are in bytes and moments in seconds since 1970, unless a name says another unit.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct


class Serving(Struct, kw_only=True):
    """A server that listens now."""

    url: str
    pid: int
    models: list[str]
    """All that can be asked for, by name."""
    loading: list[str]
    """Those of them that are loaded at once."""
    monitor: str | None
    """Its monitor socket; None where it could not be made."""


class KeyShown(Struct, kw_only=True):
    """An API key. Rates are a minute; null is the server's own, 0 is without limit."""

    id: str
    name: str
    scopes: list[str]
    state: Literal["valid", "expired", "revoked"]
    created: float
    expires: float | None
    revoked: float | None
    requests_per_minute: int | None
    tokens_per_minute: int | None


class KeyMade(KeyShown, kw_only=True):
    secret: str
    """Kept nowhere."""
    file: str
    """Where its hash is kept."""


class Unloaded(Struct, kw_only=True):
    id: str
    unloaded: bool
    """False if it was not loaded."""
    forgotten: bool


class Removed(Struct, kw_only=True):
    name: str
    versions: list[str]
    aliases: list[str]
    freed_bytes: int


class Removal(Struct, kw_only=True):
    """What ``kolo rm`` removed, or would."""

    removed: list[Removed]
    dry_run: bool


class Rollback(Struct, kw_only=True):
    name: str
    version: str
    former: str
    """The version that was in use."""
    dry_run: bool


class PlannedFile(Struct, kw_only=True):
    name: str
    role: str
    size_bytes: int | None
    sha256: str | None


class Planned(Struct, kw_only=True, tag_field="event", tag="plan"):
    """What a download would mean for this machine."""

    reference: str
    name: str
    quant: str
    revision: str
    files: list[PlannedFile]
    size_bytes: int | None
    """None where the source does not say."""
    partial_bytes: int
    """What an earlier try left."""
    held_bytes: int
    """What the store has already, of another version or another model."""
    disk_free_bytes: int
    memory_free_bytes: int
    fits_disk: bool | None
    fits_memory: bool | None
    there: str
    """Id of the version in the store that has it all already; else empty."""


class PlannedLocal(Struct, kw_only=True, tag_field="event", tag="plan_file"):
    """What would become of a file of this machine."""

    name: str
    path: str
    size_bytes: int
    copy: bool


class Fetching(Struct, kw_only=True, tag_field="event", tag="progress"):
    state: str
    done_bytes: int
    total_bytes: int | None
    bytes_per_s: int


class Note(Struct, kw_only=True, tag_field="event", tag="note"):
    text: str


class Pulled(Struct, kw_only=True, tag_field="event", tag="done"):
    """A model that is in the store now."""

    name: str
    version: str
    new: bool
    """False if it was there already."""
    replaced: str | None
    """The version it took the place of."""
    size_bytes: int
    quant: str
    source: str
    in_place: bool
    """The file stays where it is."""


class Reloaded(Struct, kw_only=True):
    """What a reload of the settings changed: dotted keys, and ids of engines."""

    file: str
    settings: list[str]
    """Keys that have another value now, and are heeded."""
    needs_restart: list[str]
    """Keys that have another value in the file than the server goes by."""
    engines_changed: list[str]
    """Finish what they began, and are loaded anew when next asked for."""
    engines_removed: list[str]
    """Finish what they began, and are known no more."""


class UnitFile(Struct, kw_only=True):
    """A unit of systemd, as it would be written."""

    path: str
    text: str


class Setting(Struct, kw_only=True, omit_defaults=True):
    """A setting that holds, and where it came from."""

    key: str
    value: Any
    """None where it is found out when it is needed."""
    source: Literal["default", "env", "flag", "file"]
    name: str = ""
    """Of the variable or the flag."""
    file: str = ""
    line: int = 0
    profile: str = ""
    secret: bool = False


class Changed(Struct, kw_only=True):
    """What ``kolo config set`` and ``unset`` did to the settings file."""

    key: str
    value: Any
    former: Any
    file: str
    line: int | None
    overridden_by: str | None
    """What wins over the file."""
    server: str | None
    """What a running server makes of it."""


class SettingsProblem(Struct, kw_only=True):
    """One thing that is wrong."""

    place: str
    file: str | None
    line: int | None
    key: str | None
    what: str
    hint: str


class SettingsFile(Struct, kw_only=True):
    file: str
    exists: bool
    named: bool
    """By KOLO_CONFIG."""


class Initial(Struct, kw_only=True):
    """What ``kolo config init`` wrote."""

    file: str
    schema: str
    kept: str | None
    """Where the file is that was there before."""


class Completing(Struct, kw_only=True):
    """What ``kolo completion install`` and ``uninstall`` did, or would."""

    shell: str
    file: str
    """The script."""
    rc: str | None
    """The shell's start-up file, where that must name the script."""
    changed: list[str]
    """The files that were written or removed."""
    dry_run: bool
    next: str
    """What is left to be done."""


class Topic(Struct, kw_only=True, omit_defaults=True):
    """What ``kolo help`` explains: a topic, or a command as in ``kolo --spec``."""

    topic: str
    text: str = ""
    command: dict[str, Any] = {}


class Param(Struct, kw_only=True, omit_defaults=True):
    """An option or an argument of a command."""

    name: str
    kind: Literal["option", "argument"]
    flags: list[str] = []
    """As typed: ``-m``, ``--model``."""
    off_flags: list[str] = []
    """Those that say the contrary."""
    metavar: str = ""
    type: str
    choices: list[str] = []
    min: float | None = None
    max: float | None = None
    required: bool = False
    multiple: bool = False
    flag: bool = False
    """Takes no value."""
    default: Any = None
    help: str = ""


class Example(Struct, kw_only=True):
    line: str
    meaning: str


class Spec(Struct, kw_only=True, omit_defaults=True):
    """A command, with those below it."""

    name: str
    summary: str
    help: str = ""
    group: str = ""
    """Under which ``kolo --help`` shows it."""
    examples: list[Example] = []
    params: list[Param] = []
    json: list[str] = []
    """Names of what it writes as JSON; ``kolo help json NAME`` describes each."""
    commands: list[Spec] = []


class Tree(Struct, kw_only=True):
    """The whole command line."""

    version: str
    command: Spec
    exit_codes: dict[str, str]
    environment: dict[str, str]
