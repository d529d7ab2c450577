"""Writes what is made from the code and kept: ``completions/`` and ``config.schema.json``.

``python tools/completions.py``; tests say when it is time to.
"""

from __future__ import annotations

from pathlib import Path

from kolo.cli.shells.scripts import make
from kolo.config.example import SCHEMA_NAME
from kolo.config.json_schema import encoded

ROOT = Path(__file__).parents[1]


def main() -> None:
    for shell, script in make().items():
        (ROOT / "completions" / f"kolo.{shell}").write_text(script)
    (ROOT / SCHEMA_NAME).write_text(encoded())


if __name__ == "__main__":
    main()
