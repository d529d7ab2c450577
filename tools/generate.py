"""Writes all that is made from the code and kept beside it; ``./dev generate`` runs it.

``completions/``, ``man/``, ``docs/reference/``, ``docs/metrics.md`` and ``config.schema.json``. A
test compares what is kept with what would be made.
"""

from __future__ import annotations

from pathlib import Path

import manpages
import metrics_page
import reference

from kolo.cli.shells.scripts import make
from kolo.config.example import SCHEMA_NAME
from kolo.config.json_schema import encoded

ROOT = Path(__file__).parents[1]
FOLDERS = ("completions", "man", "docs/reference")
"""Nothing else is in these."""


def made() -> dict[str, str]:
    """The text of each file, by its path in the project."""
    return {
        **{f"completions/kolo.{shell}": script for shell, script in make().items()},
        **{f"man/{name}": text for name, text in manpages.made().items()},
        **{f"docs/reference/{name}": text for name, text in reference.made().items()},
        "docs/metrics.md": metrics_page.page(),
        SCHEMA_NAME: encoded(),
    }


def kept() -> dict[str, str]:
    """What is there of it, and whatever else is in the folders that are made whole."""
    places = [place for folder in FOLDERS for place in (ROOT / folder).glob("*")]
    places += [ROOT / "docs/metrics.md", ROOT / SCHEMA_NAME]
    return {
        str(place.relative_to(ROOT)): place.read_text("utf-8") for place in places if place.exists()
    }


def main() -> None:
    wanted, there = made(), kept()
    for name in there.keys() - wanted.keys():
        (ROOT / name).unlink()
        print(f"removed {name}")
    for name, text in wanted.items():
        if there.get(name) != text:
            (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / name).write_text(text, "utf-8")
            print(f"wrote {name}")


if __name__ == "__main__":
    main()
