"""The last rows of a terminal, drawn over and over, with finished rows scrolling away above them.

Only how a terminal moves its cursor is used (ECMA-48: CUU, CUD, CUF, ED; DECTCEM hides it), no
full screen: what is finished stays in the scrollback as if it had been printed plainly. Between
two pictures the cursor rests where the first live row begins. A terminal that is resized may
break rows anew or not; either way it keeps the cursor with what stands there, so that the next
picture begins in the right place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


class Region:
    """Knows what it has drawn; ``update`` says what to write to have something else there.

    ``cells`` says how many cells a row takes. A row of ``live`` must fit the terminal; one of
    ``done`` may be longer, and the terminal breaks it.
    """

    def __init__(self, cells: Callable[[str], int]) -> None:
        self._cells = cells
        self._shown: list[str] = []
        self._width = 0

    @property
    def empty(self) -> bool:
        return not self._shown

    def update(self, done: Sequence[str], live: Sequence[str], width: int) -> str:
        """Put ``done`` above for good, and ``live`` below it, on a terminal of ``width`` cells.

        Rows that are the same as before are not written again.
        """
        rows = [*done, *live]
        resized = width != self._width
        same = 0 if resized else self._same(rows)
        if same == len(rows) == len(self._shown) and live:
            return ""
        text = self._text(rows, same, resized) + ("\n" if done and not live else "")
        if live:
            text = ("" if self._shown else HIDE) + text + _up(len(live) - 1)
        elif self._shown:
            text += SHOW
        self._shown, self._width = list(live), width
        return text

    def leave(self) -> str:
        """Go below what is drawn, and let it be: somebody else is to write there."""
        text = _down(len(self._shown) - 1) + "\r\n" + SHOW if self._shown else ""
        self._shown = []
        return text

    def _same(self, rows: list[str]) -> int:
        """How many rows stay as they are."""
        pairs = zip(self._shown, rows, strict=False)
        same = next((at for at, (old, new) in enumerate(pairs) if old != new), None)
        return min(len(self._shown), len(rows)) if same is None else same

    def _text(self, rows: list[str], same: int, resized: bool) -> str:
        """What to write from the first live row on to have ``rows``; the cursor ends on the last
        of them."""
        shown = self._shown
        if same == len(shown) and len(rows) > same:
            before = _down(same - 1) + "\n" if same else ""
            return before + "\n".join(rows[same:])
        if same == len(shown) - 1 and len(rows) > same and rows[same].startswith(shown[same]):
            column = self._cells(shown[same])
            rest = [rows[same][len(shown[same]) :], *rows[same + 1 :]]
            return _down(same) + (f"\x1b[{column}C" if column else "") + "\n".join(rest)
        if same == len(rows) and rows:  # fewer than before
            same -= 1
        # tmux puts what ED wipes from the top of the window on into its scrollback.
        one_row = len(shown) - same == 1 and not resized
        wipe = "\r\x1b[K" if one_row else "\r\x1b[J"
        return _down(same) + wipe + "\n".join(rows[same:])


def _up(n: int) -> str:
    return "\r" + (f"\x1b[{n}A" if n else "")


def _down(n: int) -> str:
    return f"\x1b[{n}B" if n > 0 else ""
