"""Where each shell looks for completions, and what it needs to be told."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from kolo.cli.shells.scripts import kept
from kolo.whole import replace_text

BEGIN = "# >>> kolo completion >>>"
END = "# <<< kolo completion <<<"
MADE_BY = 'Made by "kolo completion'
_BASH_COMPLETION = (
    "/usr/share/bash-completion/bash_completion",
    "/usr/local/share/bash-completion/bash_completion",
    "/etc/bash_completion",
    "/etc/profile.d/bash_completion.sh",
)


class Place(NamedTuple):
    """Where a shell's script goes."""

    file: Path
    rc: Path | None
    """The start-up file that must name it; None where the shell finds it by itself."""
    lines: str
    """What stands in ``rc``."""
    next: str
    """What is left to do for who installs it."""


class Step(NamedTuple):
    """A file that is to be another; ``text`` None removes it."""

    file: Path
    text: str | None


def place_of(shell: str, env: Mapping[str, str]) -> Place:
    """Where the script of ``shell`` goes for the person of ``env``."""
    data = _folder(env, "XDG_DATA_HOME", ".local/share")
    if shell == "fish":
        config = _folder(env, "XDG_CONFIG_HOME", ".config")
        file = config / "fish" / "completions" / "kolo.fish"
        return Place(file, None, "", "fish finds it at once.")
    if shell == "zsh":
        folder = data / "zsh" / "site-functions"
        rc = Path(env.get("ZDOTDIR") or _home(env)) / ".zshrc"
        lines = (
            f"fpath=({_for_shell(folder, env)} $fpath)\n"
            "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }\n"
            "autoload -Uz _kolo && compdef _kolo kolo"
        )
        return Place(folder / "_kolo", rc, lines, "Start a new shell: exec zsh")
    given = env.get("BASH_COMPLETION_USER_DIR", "").split(":")[0]
    folder = (Path(given) if given else data / "bash-completion") / "completions"
    file = folder / "kolo"
    if any(Path(each).exists() for each in _BASH_COMPLETION):
        return Place(file, None, "", "Start a new shell: exec bash")
    lines = f"[[ -r {_for_shell(file, env)} ]] && source {_for_shell(file, env)}"
    return Place(file, _home(env) / ".bashrc", lines, "Start a new shell: exec bash")


def steps_to_install(shell: str, place: Place, *, with_rc: bool) -> list[Step]:
    """What is not yet as it should be."""
    wanted = [Step(place.file, kept(shell))]
    if place.rc is not None and with_rc:
        before = _without_block(_read(place.rc))
        gap = "\n" if before and not before.endswith("\n\n") else ""
        block = f"{BEGIN}\n{place.lines}\n{END}\n"
        wanted.append(Step(place.rc, f"{before}{gap}{block}"))
    return [step for step in wanted if _read(step.file) != step.text]


def steps_to_uninstall(place: Place) -> list[Step]:
    """What there is to be taken away. A script of somebody else's stays."""
    steps = []
    if MADE_BY in _read(place.file):
        steps.append(Step(place.file, None))
    if place.rc is not None and BEGIN in (text := _read(place.rc)):
        steps.append(Step(place.rc, _without_block(text)))
    return steps


def take(step: Step) -> None:
    """Do it. OSError when it cannot be done."""
    if step.text is None:
        step.file.unlink(missing_ok=True)
    else:
        replace_text(step.file, step.text)


def _read(file: Path) -> str:
    """Its text; empty for one that is not there. What is not UTF-8 comes back as it was."""
    try:
        return file.read_bytes().decode(errors="surrogateescape")
    except FileNotFoundError:
        return ""


def _without_block(text: str) -> str:
    block = rf"\n?^{re.escape(BEGIN)}$.*?^{re.escape(END)}$\n?"
    return re.sub(block, "", text, flags=re.MULTILINE | re.DOTALL)


def _for_shell(path: Path, env: Mapping[str, str]) -> str:
    """A path in double quotes, with $HOME in it, so that the file can be shared by machines."""
    text = re.sub(r'(["$`\\])', r"\\\1", str(path))
    home = re.sub(r'(["$`\\])', r"\\\1", str(_home(env)))
    return f'"$HOME{text[len(home) :]}"' if text.startswith(f"{home}/") else f'"{text}"'


def _folder(env: Mapping[str, str], variable: str, default: str) -> Path:
    given = env.get(variable, "")
    return Path(given) if given.startswith("/") else _home(env) / default


def _home(env: Mapping[str, str]) -> Path:
    return Path(env.get("HOME") or os.path.expanduser("~"))
