"""``config.toml.example``: every key with what it is for, and what is read out of it."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from kolo.toml import Keys, statements

NAME = "config.toml.example"
SCHEMA_NAME = "config.schema.json"
SCHEMA_LINE = f"#:schema ./{SCHEMA_NAME}"
"""Its first line: where editors that know TOML (taplo and what is made with it) find the schema,
beside the file."""


@cache
def example_text() -> str:
    """The example. It lies beside this module when Kolo is installed, else above the package."""
    here = Path(__file__).with_name(NAME)
    return (here if here.is_file() else Path(__file__).parents[2] / NAME).read_text("utf-8")


def uncommented(text: str) -> str:
    """The example with every key and section in force."""
    return re.sub(r"^#(?=[a-z_]+ = |\[)", "", text, flags=re.MULTILINE)


@cache
def descriptions() -> dict[Keys, str]:
    """What each key and each section is for: the comment above it."""
    text = uncommented(example_text())
    lines = text.splitlines()
    found = {}
    for each in statements(text):
        words: list[str] = []
        at = each.first - 2
        while at >= 0 and lines[at].startswith("# "):
            words.insert(0, lines[at][2:].strip())
            at -= 1
        found[each.table + each.key] = " ".join(words)
    return found


def summary(path: Keys) -> str:
    """The first sentence of a key's description, without the full stop."""
    return descriptions().get(path, "").partition(". ")[0].rstrip(".:")
