"""Head scores -> one score per document, and its fusion with the first stage. Arithmetic in float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]


def standardised(scores: Scores) -> Scores:
    """Along the last axis: mean 0 and standard deviation 1; all 0 where every score is the same."""
    by = spread(scores)
    result: Scores = np.where(np.isinf(by), 0.0, (scores - scores.mean(axis=-1, keepdims=True)) / by)
    return result


def spread(scores: Scores) -> Scores:
    """Standard deviation along the last axis, which stays with length 1; infinite where every score is the same."""
    # Equal scores may differ in their last bits after the mean is taken off.
    same = np.ptp(scores, axis=-1, keepdims=True) <= 1e-9 * np.abs(scores).max(axis=-1, keepdims=True, initial=0)
    result: Scores = np.where(same, np.inf, scores.std(axis=-1, keepdims=True))
    return result


def weighed(heads: Scores, weights: Scores) -> Scores:
    """Sum of standardised head scores [n_heads, n_documents], each times its head's weight."""
    result: Scores = weights @ standardised(heads)
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighing:
    """How what several heads say becomes one score.

    weights: float64 [n_heads]. absolute: matches count as they are; else they are standardised over the candidates.
    strength: how much of a document's prior is taken off.
    """

    weights: Scores
    absolute: bool = False
    strength: float = 0.0

    def score(self, heads: Scores, priors: Scores) -> Scores:
        """heads: [n_heads, n_documents]; priors: [n_documents], 0 where there are none. Returns [n_documents]."""
        scores = self.weights @ heads if self.absolute else weighed(heads, self.weights)
        result: Scores = scores - self.strength * priors
        return result


def fused(attention: Scores, first_stage: Scores, *, weight: float) -> Scores:
    """(1 - weight) of the one and `weight` of the other, both standardised. Weight 0 gives attention as it is."""
    if weight == 0:
        return attention
    return (1 - weight) * standardised(attention) + weight * standardised(first_stage)
