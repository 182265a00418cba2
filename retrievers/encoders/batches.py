"""Texts of like length together, so that little of a pass is padding; and rows of length 1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def of_like_length(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Places in batches, the longest first, padding included at most `tokens` each, unless a single row is longer.

    >>> of_like_length([2, 5, 3], 8)
    [[1], [2, 0]]
    """
    batches: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        if batches and (len(batches[-1]) + 1) * lengths[batches[-1][0]] <= tokens:
            batches[-1].append(place)
        else:
            batches.append([place])
    return batches


def by_length(lengths: Sequence[int], *, budget: int) -> list[list[int]]:
    """The same without texts that have no token. Longest first: if memory is short, that shows at once."""
    rows = [row for row, length in enumerate(lengths) if length]
    return [[rows[place] for place in batch] for batch in of_like_length([lengths[row] for row in rows], budget)]


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of length 1; zeros stay zeros.

    >>> unit(np.array([[0, 4], [0, 0]], np.float32)).tolist()
    [[0.0, 1.0], [0.0, 0.0]]
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    rows: NDArray[np.float32] = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return rows
