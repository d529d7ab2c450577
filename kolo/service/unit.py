"""The unit file: what systemd is told about ``kolo serve``.

Nothing of a configuration is in it: a setting is changed in config.toml, and the unit by a drop-in
(``systemctl edit kolo``). What each line is for stands in systemd.service(5), systemd.exec(5) and
systemd.resource-control(5).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

NAME = "kolo.service"
MARK = "# Written by `kolo service install`, which replaces it. Changes: systemctl edit kolo"
CONFIG = Path("/etc/kolo/config.toml")
STATE = Path("/var/lib/kolo")

_SERVICE = """\
Type=notify
NotifyAccess=main
ExecStart={command}
ExecReload=kill -HUP $MAINPID
Restart=on-failure
RestartSec=2
# Wrong settings do not become right by trying again.
RestartPreventExitStatus=2
WatchdogSec=60
# The server asks for as long as server.stop_timeout lets answers go on.
TimeoutStopSec=60
# Workers end when the server does; a signal of their own would cut the answers under way.
KillMode=mixed
# One engine that is out of memory is started again by the server, and takes no other with it.
OOMPolicy=continue
LimitNOFILE=65536
LimitMEMLOCK=infinity
UMask=0077
"""

_FOLDERS = """\
StateDirectory=kolo
StateDirectoryMode=0700
CacheDirectory=kolo
CacheDirectoryMode=0700
RuntimeDirectory=kolo
RuntimeDirectoryMode=0700
ConfigurationDirectory=kolo
LogsDirectory=kolo
WorkingDirectory=%S/kolo
"""

_ANYWHERE = """\
NoNewPrivileges=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
# @resources: threads are bound to cores, and memory to nodes.
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM
"""

_SYSTEM = """\
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome={home}
PrivateTmp=yes
PrivateMounts=yes
PrivateUsers=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
RemoveIPC=yes
KeyringMode=private
# Of devices the GPUs alone: PrivateDevices= would hide them.
DevicePolicy=closed
DeviceAllow=char-nvidia* rw
DeviceAllow=char-drm rw
DeviceAllow=char-kfd rw
"""


def system_unit(
    command: Sequence[str], *, account: str = "", groups: Sequence[str] = (), home: str = "yes"
) -> str:
    """The unit of a service of the machine. It runs as ``account``, or as a user that systemd makes
    up; ``groups`` may open the GPUs; ``home`` is ProtectHome=, ``read-only`` where the command
    itself is in a home."""
    who = f"User={account}" if account else "DynamicUser=yes"
    supplement = [f"SupplementaryGroups={' '.join(groups)}"] if groups else []
    sections = (
        _SERVICE.format(command=_quoted(command)),
        "\n".join([who, *supplement, ""]),
        _FOLDERS,
        _ANYWHERE,
        _SYSTEM.format(home=home),
    )
    return _unit(sections, "network-online.target", "multi-user.target")


def user_unit(command: Sequence[str]) -> str:
    """The unit of one person's service. Its folders are those of the person's own commands, so that
    what ``kolo pull`` fetches is there to be served."""
    return _unit((_SERVICE.format(command=_quoted(command)), _ANYWHERE), "", "default.target")


def _unit(sections: Sequence[str], after: str, wanted_by: str) -> str:
    order = f"Wants={after}\nAfter={after}\n" if after else ""
    body = "\n".join(sections)
    return (
        f"{MARK}\n\n[Unit]\nDescription=Kolo, language models over HTTP\n{order}"
        f"StartLimitIntervalSec=60\nStartLimitBurst=5\n\n"
        f"[Service]\n{body}\n[Install]\nWantedBy={wanted_by}\n"
    )


def _quoted(command: Sequence[str]) -> str:
    """As systemd reads a command line: ``%`` and ``$`` stand for themselves doubled."""
    return " ".join(_word(word.replace("%", "%%").replace("$", "$$")) for word in command)


def _word(word: str) -> str:
    if not any(character in word for character in " \t\"'\\;"):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
