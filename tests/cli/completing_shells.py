"""Asks real shells what they would offer for a line that is being typed."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120.0
_BASH = """
source "$1"; line=$2; shift 2
COMP_LINE=$line COMP_POINT=${#line} COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_kolo
((${#COMPREPLY[@]})) && printf '%s\\n' "${COMPREPLY[@]}"
exit 0
"""


def script(shell: str) -> str:
    return str(ROOT / "completions" / f"kolo.{shell}")


def bash(line: str, env: dict[str, str], cwd: Path) -> list[str]:
    """What bash would put in place of the last word, which it breaks at : and = too."""
    words = re.findall(r"[:=]+|[^\s:=]+", line)
    if line[-1:].isspace():
        words.append("")
    return _lines(["bash", "--norc", "-c", _BASH, "bash", script("bash"), line, *words], env, cwd)


def fish(line: str, env: dict[str, str], cwd: Path) -> list[str]:
    """What fish offers, without descriptions."""
    code = 'source $argv[1]; complete -C "$argv[2]"'
    lines = _lines(["fish", "--no-config", "-c", code, script("fish"), line], env, cwd)
    return [each.partition("\t")[0] for each in lines]


def _lines(command: list[str], env: dict[str, str], cwd: Path) -> list[str]:
    done = subprocess.run(
        command,
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.stderr == "", done.stderr
    assert done.returncode == 0
    return done.stdout.splitlines()
