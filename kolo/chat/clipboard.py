"""Text into the clipboard of whoever sits at the terminal, also over ssh and in tmux.

Where a desktop's own tool can be reached it takes the text. Else the terminal is asked to
(OSC 52, xterm's "Manipulate Selection Data"): within tmux by tmux itself, within screen through
its passthrough (DCS). Whether a terminal obeys, it does not say.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from collections.abc import Mapping
from typing import NamedTuple

PATIENCE_S = 3.0
SCREEN_BYTES = 76 * 8
_TOOLS = {
    "WAYLAND_DISPLAY": [["wl-copy"]],
    "DISPLAY": [["xclip", "-selection", "clipboard"], ["xsel", "--clipboard", "--input"]],
}


class Copied(NamedTuple):
    """How it went."""

    sequence: str
    """To be written to the terminal; empty if a program has taken the text."""
    by: str
    """Who has it, or was asked."""


def copy(text: str, env: Mapping[str, str] | None = None) -> Copied:
    """Hand ``text`` to a clipboard. Waits for a program for at most a few seconds."""
    env = os.environ if env is None else env
    for tool in _tools(env):
        if _taken_by(tool, text):
            return Copied("", f"the clipboard ({os.path.basename(tool[0])})")
    encoded = base64.b64encode(text.encode()).decode()
    sequence = f"\x1b]52;c;{encoded}\x07"
    if env.get("TMUX"):
        sequence = f"\x1bPtmux;{sequence.replace(chr(27), chr(27) * 2)}\x1b\\"
    elif env.get("TERM", "").startswith("screen"):
        parts = [sequence[at : at + SCREEN_BYTES] for at in range(0, len(sequence), SCREEN_BYTES)]
        sequence = "".join(f"\x1bP{part}\x1b\\" for part in parts)
    return Copied(sequence, "the terminal, which was asked to copy it (OSC 52)")


def _tools(env: Mapping[str, str]) -> list[list[str]]:
    """Programs to try, the likeliest first. Of a desktop none from afar: its clipboard is not
    the one of whoever sits at the terminal."""
    found = []
    if env.get("TMUX"):
        found.append(["tmux", "load-buffer", "-w", "-"])
    elif not env.get("SSH_CONNECTION"):
        found += [tool for name, tools in _TOOLS.items() if env.get(name) for tool in tools]
    return [
        [path, *tool[1:]] for tool in found if (path := shutil.which(tool[0], path=env.get("PATH")))
    ]


def _taken_by(tool: list[str], text: str) -> bool:
    try:
        done = subprocess.run(
            tool,
            input=text.encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
