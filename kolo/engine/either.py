"""One answer under several constraints, of which it need satisfy one.

So a request can offer tools and ask for a form at once: the answer is a call, or it has the form.
"""

from __future__ import annotations

import numpy as np

from kolo.engine.grammar import Mask, Matcher
from kolo.errors import InternalError


class Either:
    """Matchers side by side, as one; each is dropped at the first token it does not allow."""

    def __init__(self, *matchers: Matcher) -> None:
        self._open = list(matchers)

    def clone(self) -> Either:
        return Either(*(matcher.clone() for matcher in self._open))

    @property
    def finished(self) -> bool:
        return all(matcher.finished for matcher in self._open)

    def allows(self, token: int) -> bool:
        return any(matcher.allows(token) for matcher in self._open)

    def mask(self) -> Mask:
        masks = [matcher.mask().copy() for matcher in self._open]
        mask: Mask = np.logical_or.reduce(masks)
        return mask

    def accept(self, token: int) -> None:
        self._open = [matcher for matcher in self._open if matcher.allows(token)]
        if not self._open:
            raise InternalError(f"no constraint allows token {token}, which was taken")
        for matcher in self._open:
            matcher.accept(token)

    def steer(self, token: int, remaining: int) -> int:
        """As ``Matcher.steer``, by the first that allows ``token``."""
        first = next(matcher for matcher in self._open if matcher.allows(token))
        return first.steer(token, remaining)
