"""Draws ``docs/pictures``: what the real program shows, as SVG; ``./dev pictures`` runs it.

``top`` is its own screen over the made-up server of ``kolo top --demo``. ``chat`` runs on a
terminal of its own, where somebody types, with the model that comes with Kolo.
"""

from __future__ import annotations

import asyncio
import io
import os
import re
import sys
import tempfile
from itertools import groupby
from pathlib import Path
from typing import Any

import pyte
from rich.console import Console
from rich.style import Style
from rich.text import Text

from kolo.snapshot import Snapshot
from kolo.top.app.screen import Choices, TopApp
from kolo.top.demo.world import World
from kolo.top.sources.made_up import HEAD_START_S, Demo
from kolo.top.state import Ui

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs/pictures"
FONTS = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace"
TOP_SIZE = (116, 38)
SEED = 15
CHAT_SIZE = (92, 24)
QUESTIONS = ("What is continuous batching?", "And how do I serve a model?")

sys.path.insert(0, str(ROOT / "tests/cli"))
from pty_terminal import Terminal  # noqa: E402


def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name, svg in (("top", asyncio.run(top())), ("chat", chat())):
        (PICTURES / f"{name}.svg").write_text(_at_home(svg), "utf-8")
        print(f"wrote docs/pictures/{name}.svg")


async def top() -> str:
    world = World(SEED)
    begun = [message for _ in range(HEAD_START_S) for message in world.run(1.0)]
    last = next(one for one in reversed(begun) if isinstance(one, Snapshot))
    source = Demo(World(SEED), interval_s=60)  # the next second never comes
    app = TopApp(source, Ui(), Choices(theme="kolo-dark"))
    async with app.run_test(size=TOP_SIZE) as pilot:
        while app.session.picture.snapshot != last:
            await pilot.pause(0.1)
        await pilot.pause()
        return app.export_screenshot(title="kolo top", simplify=True)


def chat() -> str:
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "KOLO_HOME": home, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        command = [sys.executable, "-m", "kolo", "chat", "--temp", "0", "--local"]
        with Terminal(command, env) as terminal:
            terminal.resize(*CHAT_SIZE)
            terminal.expect(">")
            for question in QUESTIONS:
                terminal.type(question + "\r")
                terminal.expect("ttft")
            terminal.expect("local")  # the toolbar, below a new prompt
            shown = _screen(terminal.raw)
            terminal.type("\x04")
            terminal.wait()
    console = Console(record=True, width=CHAT_SIZE[0], file=io.StringIO(), force_terminal=True)
    for line in shown:
        console.print(line, no_wrap=True, overflow="crop")
    return console.export_svg(title="kolo chat")


def _screen(raw: bytes) -> list[Text]:
    """The lines that a terminal shows after these bytes."""
    screen = pyte.Screen(*CHAT_SIZE)
    # pyte knows no faint text: grey stands for it.
    grey = raw.replace(b"\x1b[2m", b"\x1b[90m").replace(b"\x1b[22m", b"\x1b[39m")
    pyte.ByteStream(screen).feed(grey)
    lines = []
    for row in range(screen.lines):
        cells = [screen.buffer[row][column] for column in range(screen.columns)]
        line = Text()
        for style, run in groupby(cells, key=_style):
            line.append("".join(cell.data for cell in run), style)
        line.rstrip()
        lines.append(line)
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _style(cell: Any) -> Style:
    return Style(
        color=_colour(cell.fg),
        bgcolor=_colour(cell.bg),
        bold=cell.bold,
        italic=cell.italics,
        underline=cell.underscore,
        reverse=cell.reverse,
    )


def _colour(name: str) -> str | None:
    if name == "default":
        return None
    if re.fullmatch("[0-9a-f]{6}", name):
        return f"#{name}"
    bright = name.startswith("bright")
    plain = name.removeprefix("bright").replace("brown", "yellow")
    return f"bright_{plain}" if bright else plain


def _at_home(svg: str) -> str:
    """Without fonts from the network: each line has its length, so that any will do."""
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    return re.sub(r"font-family: ?(Fira Code|arial)[^;]*;", f"font-family: {FONTS};", svg)


if __name__ == "__main__":
    main()
