"""How well an order agrees with grades: nDCG@10 with linear gains, over a question's candidates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

CUTOFF = 10


def ndcg(scores: Sequence[float] | NDArray[np.floating], grades: Sequence[float], *, cutoff: int = CUTOFF) -> float:
    """0 to 1; 1 where all grades are 0. Equal scores keep the order that they are given in.

    Worked: grades 0, 1 in the wrong order give (0 / log2 2 + 1 / log2 3) / (1 / log2 2) = .6309.

    >>> round(ndcg([2.0, 1.0], [0.0, 1.0]), 4)
    0.6309
    """
    gains = np.asarray(grades, dtype=np.float64)
    weights = 1 / np.log2(np.arange(2, min(cutoff, len(gains)) + 2))
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")[:cutoff]
    best = float(np.sort(gains)[::-1][:cutoff] @ weights)
    return float(gains[order] @ weights) / best if best else 1.0
