"""The first finds judged once more by a model that sees: does this answer what was asked, yes or no?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rag.ranking import min_max

DEPTH = 10
PROMPT = "{question}\nDoes this picture answer that? Answer Yes or No."


class Seer(Protocol):
    """A model that sees. None comes with ragline, so whoever has one writes these lines for it."""

    def yes_or_no(self, prompt: str, pictures: Sequence[bytes]) -> Sequence[tuple[float, float]]:
        """For each picture the logarithms of how probable Yes and No are as the first words of an answer, of all their forms."""
        ...


def by_yes_or_no(
    question: str,
    pictures: Sequence[bytes],
    scores: Sequence[float],
    *,
    seer: Seer,
    depth: int = DEPTH,
    share: float = 1.0,
) -> list[tuple[int, float]]:
    """Places of pictures in their new order, each with the probability of Yes among both (MM-Embed: Lin et al., ICLR 2025, its
    third part).

    The first `depth` are judged, and stay before the others, which keep their order and have 0. What is judged alike keeps its
    order. share: how much the judgement counts; the rest is the first stage's score, brought to 0 to 1 among the judged.

    Raises:
        ValueError: scores that do not fit, or what was answered are no logarithms.
    """
    if len(pictures) != len(scores):
        raise ValueError(f"by_yes_or_no: {len(scores)} scores for {len(pictures)} pictures")
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    first, rest = order[:depth], order[depth:]
    if not len(first):
        return []
    told = np.array(seer.yes_or_no(PROMPT.format(question=question), [pictures[n] for n in first]), np.float64)
    if told.shape != (len(first), 2) or np.isnan(told).any() or (told == np.inf).any():
        raise ValueError(f"by_yes_or_no: the model's answers are no logarithms of two words for {len(first)} pictures")
    judged = _share_of_yes(told)
    whole = share * judged + (1 - share) * np.array(min_max([scores[n] for n in first])[0])
    again = [(int(first[n]), float(whole[n])) for n in np.argsort(-whole, kind="stable")]
    return [*again, *((int(place), 0.0) for place in rest)]


def _share_of_yes(told: NDArray[np.float64]) -> NDArray[np.float64]:
    """[n] of [n, 2]: a half where neither is said at all."""
    both = told.max(axis=1, keepdims=True)
    powers = np.exp(told - np.where(np.isfinite(both), both, 0))
    total = powers.sum(axis=1)
    share: NDArray[np.float64] = np.divide(powers[:, 0], total, out=np.full(len(told), 0.5), where=total > 0)
    return share
