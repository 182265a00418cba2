"""Cases as the heads of a model score them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rerankers.attention.finding.weighings import Example

NULL = "N/A"
"""A query without content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseScores:
    """One case as all heads score it: real and null, float64 [n_heads, n_documents], and the grades, as `Case` has them."""

    real: NDArray[np.float64]
    null: NDArray[np.float64]
    grades: NDArray[np.float64]
    taught: bool = False

    def example(self, heads: slice, strength: float = 0.0) -> Example:
        null = self.null[heads]
        return Example(scores=self.real[heads] - strength * null, grades=self.grades, nulls=null, taught=self.taught)
