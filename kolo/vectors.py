"""Embeddings with fewer dimensions than the model gives."""

from __future__ import annotations

import math
from collections.abc import Sequence

from kolo.errors import BadParameter


def shortened(vector: Sequence[float], dimensions: int | None) -> Sequence[float]:
    """The first dimensions, at unit length again, as models trained for it mean it (Matryoshka,
    arXiv:2205.13147). BadParameter when there are not so many."""
    if dimensions is None or dimensions == len(vector):
        return vector
    if dimensions > len(vector):
        raise BadParameter(
            f"dimensions is {dimensions}, the model's vectors have {len(vector)}",
            hint=f"{len(vector)} at most",
            param="dimensions",
        )
    cut = vector[:dimensions]
    length = math.hypot(*cut)
    return [value / length for value in cut] if length else cut
