"""Text in lines of so many cells."""

from __future__ import annotations

from collections.abc import Iterator


def wrapped(text: str, width: int, indent: str = "") -> Iterator[str]:
    """``text`` in lines of at most ``width`` cells, those after the first with ``indent``. A word
    that is longer is broken, so that nothing is lost; the space a line begins with is kept."""
    body = text.lstrip(" ")
    line, gap = text[: len(text) - len(body)][: width // 2], ""
    for word in body.split(" "):
        while cells(line + gap + word) > width:
            if line.strip(" "):
                yield line.rstrip(" ")
                line, gap = indent, ""
                continue
            n_chars = _that_fit(word, max(1, width - cells(line)))
            yield line + word[:n_chars]
            line, word = indent, word[n_chars:]
        if not word and line == indent:  # of several spaces those at a break are none
            continue
        line, gap = line + gap + word, " "
    yield line.rstrip(" ")


def cells(text: str) -> int:
    """How many columns of a terminal ``text`` takes: two for a sign of Chinese, none for an
    accent that stands by itself."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _that_fit(word: str, width: int) -> int:
    """How many characters of ``word`` fit in ``width`` cells; at least one."""
    return next((n for n in range(len(word), 1, -1) if cells(word[:n]) <= width), 1)
