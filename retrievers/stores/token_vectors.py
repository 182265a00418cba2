"""Vectors of all tokens of several texts, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenVectors:
    """Text i has the vectors from `starts[i]` to `starts[i + 1]`; float32 [n_tokens, dim], of unit length."""

    values: NDArray[np.float32]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, rows: Sequence[NDArray[np.float32]], *, dim: int) -> Self:
        """From a matrix for each text, [tokens, dim]; it may have no token."""
        values = np.concatenate(rows) if rows else np.zeros((0, dim), dtype=np.float32)
        return cls(values=values, starts=np.cumsum([0, *map(len, rows)], dtype=np.int64))

    def __len__(self) -> int:
        return len(self.starts) - 1

    def row(self, place: int) -> NDArray[np.float32]:
        """float32 [tokens, dim]: those of one text."""
        return self.values[self.starts[place] : self.starts[place + 1]]


def max_sim(query: NDArray[np.float32], document: NDArray[np.float32]) -> float:
    """Late interaction: for each token of the query its nearest token of the document, summed up (Khattab and Zaharia,
    SIGIR 2020, arXiv 2004.12832, equation 3). 0 where either has no token.

    >>> round(max_sim(np.eye(2, dtype=np.float32), np.array([[1, 0], [0.6, 0.8]], dtype=np.float32)), 6)
    1.8
    """
    if not len(query) or not len(document):
        return 0.0
    return float((query @ document.T).max(axis=1).sum())
