"""The scripts that are kept: made by ``make``, read by ``kolo completion``."""

from __future__ import annotations

from pathlib import Path

SHELLS = ("bash", "zsh", "fish")


def kept(shell: str) -> str:
    """The script that came with this Kolo: beside this module, or in ``completions/`` of the
    checkout. Reading it is quick, so that a shell's start may do it."""
    name = f"kolo.{shell}"
    packaged = Path(__file__).with_name("kept") / name
    checkout = Path(__file__).parents[3] / "completions" / name
    return (packaged if packaged.is_file() else checkout).read_text("utf-8")


def make() -> dict[str, str]:
    """The scripts as the command line is now, by shell. Imports every command."""
    from kolo.cli.shells.bash import bash_script
    from kolo.cli.shells.fish import fish_script
    from kolo.cli.shells.tree import read_tree
    from kolo.cli.shells.zsh import zsh_script

    tree = read_tree()
    return {"bash": bash_script(tree), "zsh": zsh_script(tree), "fish": fish_script(tree)}
