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


def along(
    picture: Vector,
    before: Vector,
    after: Vector,
    *,
    share: float = 0.25,
    of_picture: float = 1.4,
    of_words: float = 1.2,
) -> Vector:
    """(1 - share) (picture + of_picture D) + share (before + of_words D) of unit length, where D = after - before (PDV, section 3).

    With a share of 1 and `of_words` of 1 it is exactly `after`, which is CIReVL.

    Args:
        picture, before, after: unit vectors of a picture, of its caption, and of the caption as it is to be.
        share: how much the side of the words counts.
        of_picture, of_words: how far either side goes along the direction; 0 leaves it, below 0 it goes the other way.
    """
    if share == 1 and of_words == 1:
        return after
    direction = after - before
    moved = (1 - share) * (picture + of_picture * direction) + share * (before + of_words * direction)
    turned: Vector = unit(moved[None].astype(np.float32))[0]
    return turned


def edited(caption: str, words: str) -> str:
    """A caption as it is to be: with the words behind it.

    >>> edited("a red bus.", "at night")
    'a red bus, at night'
    """
    return f"{caption.rstrip(' .')}, {words}"
