"""Where a text changes its subject: the neighbouring pieces whose vectors are least alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Encode = Callable[[Sequence[str]], "NDArray[np.float32]"]
"""Texts -> float32 [n, dim]."""

_LOWEST = 20
"""Per cent of a document's neighbours that count as turns."""


def turns(texts: Sequence[str], encode: Encode) -> list[bool]:
    """For each text, whether the subject changes before it: its cosine to the one before is in the lowest fifth."""
    import numpy as np

    if len(texts) < 2:
        return [False] * len(texts)
    vectors = encode(texts)
    lengths = np.linalg.norm(vectors, axis=1)
    cosines = np.sum(vectors[1:] * vectors[:-1], axis=1) / np.maximum(lengths[1:] * lengths[:-1], 1e-12)
    return [False, *(cosines < np.percentile(cosines, _LOWEST)).tolist()]  # strictly: where all are alike, none turns
