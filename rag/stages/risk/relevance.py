"""What a score of a ranking is worth: relevance from 0 to 1, that rises with the score and never falls. Pure functions."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Score -> relevance, straight between these points and level outside them. Both lists rise."""

    scores: tuple[float, ...]
    relevance: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.scores) != len(self.relevance) or not self.scores:
            raise ValueError("scale: scores and relevance are not equally many, or there are none")
        if list(self.scores) != sorted(self.scores) or list(self.relevance) != sorted(self.relevance):
            raise ValueError("scale: scores or relevance fall")
        if not 0 <= self.relevance[0] <= self.relevance[-1] <= 1:
            raise ValueError("scale: relevance is not from 0 to 1")

    def __call__(self, score: float) -> float:
        """The relevance of one score; in a ranking it never rises from a hit to the next."""
        right = bisect_left(self.scores, score)
        if right == 0:
            return self.relevance[0]
        if right == len(self.scores):
            return self.relevance[-1]
        low, high = self.scores[right - 1], self.scores[right]
        worth, most = self.relevance[right - 1], self.relevance[right]
        # every step of this rises with the score, rounded as it is, so that no hit is worth more than a better one
        return min(most, worth + (most - worth) * ((score - low) / (high - low)))


def fit_scale(scores: Sequence[float], grades: Sequence[float]) -> Scale:
    """The rising steps that are nearest to the grades (isotonic regression; Zadrozny and Elkan, KDD 2002).

    Args:
        grades: of each score's document, from 0 to 1.
    Raises:
        ValueError: there are none.
    """
    import numpy as np
    from scipy.optimize import isotonic_regression

    if not scores:
        raise ValueError("a scale is fit on at least one score")
    order = np.argsort(np.asarray(scores, dtype=np.float64), kind="stable")
    x, y = np.asarray(scores, dtype=np.float64)[order], np.asarray(grades, dtype=np.float64)[order]
    distinct, first, counts = np.unique(x, return_index=True, return_counts=True)
    means = np.add.reduceat(y, first) / counts  # equal scores have one relevance
    risen = np.clip(isotonic_regression(means, weights=counts).x, 0.0, 1.0)
    # of every step its two ends
    ends = np.ones(len(risen), dtype=bool)
    ends[1:-1] = (risen[1:-1] != risen[:-2]) | (risen[1:-1] != risen[2:])
    return Scale(scores=tuple(map(float, distinct[ends])), relevance=tuple(map(float, risen[ends])))
