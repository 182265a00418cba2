"""What a score of a ranking is worth: relevance from 0 to 1, that rises with the score and never falls. Pure functions."""

from __future__ import annotations

from bisect import bisect_left
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
