"""Terms of all documents as flat arrays, which rank-bm25 is made of."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


class Tokens:
    """Term numbers of all documents, end to end. Iterates over documents as lists of them."""

    def __init__(self, terms: NDArray[np.int32], starts: NDArray[np.int64]) -> None:
        self.terms, self.starts = terms, starts

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __iter__(self) -> Iterator[list[int]]:
        for first, last in zip(self.starts[:-1], self.starts[1:], strict=True):
            yield self.terms[first:last].tolist()
