"""Two media and two texts that belong together crosswise: whether each finds its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class PairScores:
    """Shares of items, 0 to 1. By chance `text` and `media` are a quarter, `group` a sixth."""

    text: float
    media: float
    group: float
    n: int


def pair_scores(similarities: Floats) -> PairScores:
    """Scores of items of two media and two texts (Thrush et al., CVPR 2022; CompA, Ghosh et al., ICLR 2024).

    `text`: both media have their own text ahead. `media`: both texts have their own medium ahead. `group`: all four. What is equal
    is not ahead.

    Args:
        similarities: [n, 2, 2], of medium i to text j of each item; i = j belong together.

    Raises:
        ValueError: another shape, or nothing to tell from.
    """
    if similarities.ndim != 3 or similarities.shape[1:] != (2, 2) or not len(similarities):
        raise ValueError(f"pair_scores takes similarities of [n, 2, 2], n above 0, got {[*similarities.shape]}")
    own = np.diagonal(similarities, axis1=1, axis2=2)
    crossed = similarities[:, [0, 1], [1, 0]]
    text = (own > crossed).all(axis=1)
    media = (own > crossed[:, ::-1]).all(axis=1)
    return PairScores(float(text.mean()), float(media.mean()), float((text & media).mean()), len(similarities))


def binding_bias(probabilities: Floats, own: NDArray[np.integer], other: NDArray[np.integer]) -> float:
    """How much more an attribute is taken from the other thing of a picture than from the one that is asked for: the mean of
    P(the other's) - P(the own), from -1 to 1 (after CAB: Lemons are purple, EMNLP 2023, arXiv 2212.12043; the form is ours).

    Args:
        probabilities: [n, values], of each value for the thing that is asked for.
        own: [n], which value it has.
        other: [n], which value the other thing of its picture has.

    Raises:
        ValueError: nothing is asked, or a picture's things have one value, so that they cannot be told apart.
    """
    if not len(probabilities) or (own == other).any():
        raise ValueError("binding_bias needs pictures of two things with different values, one at least")
    rows = np.arange(len(probabilities))
    return float((probabilities[rows, other] - probabilities[rows, own]).mean())
