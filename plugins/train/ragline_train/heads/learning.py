"""Weights learned from ranked lists: listwise cross-entropy with an L1 penalty, none negative. Arithmetic in float64."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]

_LEAST_WEIGHT = 0.01  # of the largest; a smaller one costs a head and changes nothing
_STEPS = 400


@dataclass(frozen=True, slots=True)
class Lists:
    """Candidates as lists of one length: features [n, longest, n_features], what is wanted of each and what is absent."""

    features: NDArray[np.float64]
    wanted: NDArray[np.float64]
    absent: NDArray[np.float64]

    @classmethod
    def of(cls, features: Sequence[Scores], wanted: Sequence[NDArray[np.float64]]) -> Lists:
        """features: [n_features, n_documents] of every list. wanted: each document's share of 1, [n_documents]."""
        longest = max(map(len, wanted))
        lists = cls(
            np.zeros((len(wanted), longest, len(features[0]))),
            np.zeros((len(wanted), longest)),
            np.zeros((len(wanted), longest)),
        )
        for row, (each, shares) in enumerate(zip(features, wanted, strict=True)):
            n = len(shares)
            lists.features[row, :n] = each.T
            lists.wanted[row, :n] = shares
            lists.absent[row, n:] = -np.inf
        return lists

    def weights(self, penalty: float) -> Scores:
        """argmin of the mean listwise cross-entropy of softmax(weights . features) plus penalty * |weights|, none negative.

        Proximal gradient with momentum (Beck and Teboulle 2009). A head that helps only when it is turned around is one
        that does not carry over to other corpora, so negative weights are not allowed.
        """
        step = 1 / _steepest(self.features)
        weights, ahead, momentum = np.zeros(self.features.shape[2]), np.zeros(self.features.shape[2]), 1.0
        for _ in range(_STEPS):
            logits = self.features @ ahead + self.absent
            share = np.exp(logits - logits.max(axis=1, keepdims=True))
            share /= share.sum(axis=1, keepdims=True)
            gradient = np.einsum("qdh,qd->h", self.features, share - self.wanted) / len(self.features)
            moved = np.maximum(ahead - step * (gradient + penalty), 0.0)
            following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
            ahead = moved + (momentum - 1) / following * (moved - weights)
            weights, momentum = moved, following
        kept: Scores = np.where(weights >= _LEAST_WEIGHT * weights.max(initial=0.0), weights, 0.0)
        return kept


def _steepest(features: NDArray[np.float64]) -> float:
    """An upper bound of the loss's curvature: half the largest eigenvalue of the mean Gram matrix, by power iteration."""
    vector = np.random.default_rng(0).normal(size=features.shape[2])  # no direction that data could be blind to
    size = 1.0
    for _ in range(30):
        vector = np.einsum("qdh,qd->h", features, features @ vector) / len(features)
        size = float(np.linalg.norm(vector)) or 1.0
        vector /= size
    return 0.55 * size
