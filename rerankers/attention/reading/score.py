"""Attention per token -> one score per document. Pure arithmetic in float64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Pool = Literal["sum", "mean", "top_mean"]
Span = tuple[int, int]


def calibrated(real: NDArray[np.float32], null: NDArray[np.float32] | None, *, strength: float) -> NDArray[np.float64]:
    """c(j) = s(j|query) - strength * s(j|null) for every prefix token j; s itself when there is no null."""
    scores = real.astype(np.float64)
    return scores if null is None else scores - strength * null.astype(np.float64)


def document_scores(
    tokens: NDArray[np.float64],
    spans: Sequence[Span],
    *,
    sigma: float | None,
    pool: Pool = "sum",
    top_tokens: int = 8,
) -> NDArray[np.float64]:
    """One score per document, float64 [n_documents].

    Args:
        tokens: float64 [n_tokens], a score per prefix token.
        spans: half-open token range of each document.
        sigma: tokens more than this many standard deviations below their document's mean are left out; None
            keeps all.
        pool: sum over the tokens kept (ICR), their mean, or the mean of the `top_tokens` highest.
        top_tokens: used by `top_mean` alone.
    """
    return np.array([_pooled(_kept(tokens[a:b], sigma), pool, top_tokens) for a, b in spans], dtype=np.float64)


def _kept(tokens: NDArray[np.float64], sigma: float | None) -> NDArray[np.float64]:
    """Tokens that are not abnormally low.

    One-sided, n - 1 in the standard deviation. A single token has none, so it stays; the paper's code loses
    it. The bound itself is kept, so that tokens which are all alike stay too.
    """
    if sigma is None or len(tokens) < 2:
        return tokens
    kept: NDArray[np.float64] = tokens[tokens >= tokens.mean() - sigma * tokens.std(ddof=1)]
    return kept


def _pooled(tokens: NDArray[np.float64], pool: Pool, top_tokens: int) -> float:
    if len(tokens) == 0:
        return 0.0
    if pool == "sum":
        return float(tokens.sum())
    if pool == "top_mean":
        tokens = np.sort(tokens)[-top_tokens:]
    return float(tokens.mean())
