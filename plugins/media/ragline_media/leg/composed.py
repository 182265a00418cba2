"""A picture and words as one question."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rag.indexes import unit

Vector = NDArray[np.float32]


def weighted(picture: Vector | None, words: Vector | None, share: float) -> Vector | None:
    """(1 - share) picture + share words, both unit vectors, of unit length (WeiMoCIR, equation 1).

    0 is exactly the picture, 1 exactly the words, and one that is missing leaves the other. None where both are.
    """
    if picture is None or words is None:
        return words if picture is None else picture
    if share in (0, 1):
        return words if share else picture
    mixed: Vector = unit(((1 - share) * picture + share * words)[None])[0]
    return mixed
