"""Guessing from the text itself: what followed the last few tokens when they last occurred.

Pays where an answer repeats its prompt (edits, quotes, extraction) or itself. Known as prompt
lookup or n-gram speculation.
"""

from __future__ import annotations

from array import array

KEY_TOKENS = 3
"""Shorter keys find more and are wrong more often."""


def continuation(tokens: array[int], n_tokens: int) -> array[int]:
    """What came after the last occurrence of the last ``KEY_TOKENS`` tokens, ``n_tokens`` of it;
    empty without one. What runs into the end goes on from its own start: the text is in a loop.
    """
    size = tokens.itemsize
    data = tokens.tobytes()
    key = data[-KEY_TOKENS * size :]
    at = data.rfind(key, 0, len(data) - size)
    while at >= 0 and at % size:
        at = data.rfind(key, 0, at + len(key) - 1)
    if at < 0 or len(key) < KEY_TOKENS * size:
        return array("i")
    start = at // size + KEY_TOKENS
    found = tokens[start : start + n_tokens]
    while len(found) < n_tokens:
        found += found[: n_tokens - len(found)]
    return found
