"""The code blocks of a text in Markdown (CommonMark, 4.5), without a parser of all of it."""

from __future__ import annotations

import re

_OPENING = re.compile(r"( {0,3})(`{3,}|~{3,})[^`]*")


def code_blocks(text: str) -> list[str]:
    """The code of each block, without its fences; one that is not closed ends with the text."""
    found: list[str] = []
    fence = ""
    for line in text.split("\n"):
        if fence:
            bare = line.strip()
            if set(bare) == {fence[0]} and len(bare) >= len(fence):
                fence = ""
            else:
                found[-1] += f"{line}\n"
        elif opening := _OPENING.fullmatch(line):
            fence = opening[2]
            found.append("")
    return found
