"""Words of a text against patches of a picture, one by one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


def score_by_tokens(patches: Vectors, words: Vectors, counted: NDArray[np.bool_]) -> float:
    """How well a text fits a picture (FILIP: Yao et al., ICLR 2022): the mean over patches of their best word and the mean over
    words of their best patch, half of each. What fills a text up is neither best nor counted.

    Args:
        patches: [p, d]. words: [w, d]. All of length 1.
        counted: [w], false where there is no word.

    Raises:
        ValueError: no word is counted, or there is no patch.
    """
    if not counted.any() or not len(patches):
        raise ValueError("score_by_tokens needs one patch and one word that counts")
    likeness = patches @ words[counted].T
    return float((likeness.max(axis=1).mean() + likeness.max(axis=0).mean()) / 2)
