"""A question moved by what another tower thinks of what it found."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rag.indexes import unit

Vectors = NDArray[np.float32]

_SHARP = 2.5


def moved(
    question: Vectors, gallery: Vectors, rewards: NDArray[np.floating], *, k: int = 12, step: float = 0.01
) -> Vectors:
    """The question after one step of policy gradient (RLCF: Zhao et al., ICLR 2024, on the question's vector alone).

    The first k are what the policy would answer; each is worth max(2.5 r, 0) less the mean over them, r being what the other tower
    says. As these advantages sum to 0, the gradient of their weighted surprise is the sum of advantage times vector, and no other
    item of the gallery has a part in it. The vector is moved along it by `step` and brought to length 1.

    A step of .01 to .05 gained or lost nothing where it was tried, and .2 lost on three seeds of ten. Where the other tower's
    vectors of the gallery are kept, ranking the first k by these is better; this is for one that is too slow for that.

    Args:
        question: float32 [d], of length 1.
        gallery: float32 [m, d], of length 1.
        rewards: [m], similarity by the other tower; read for the first k alone.
        k: what the policy answers with.
        step: how far; 0 leaves the question as it is.

    Raises:
        ValueError: rewards that do not fit.
    """
    if len(rewards) != len(gallery):
        raise ValueError(f"moved: {len(rewards)} rewards for {len(gallery)} items do not fit")
    scores = gallery @ question
    first = np.lexsort((np.arange(len(scores)), -scores))[:k]
    worth = np.maximum(_SHARP * np.asarray(rewards)[first], 0)
    pull = (worth - worth.mean()) @ gallery[first]
    found: Vectors = unit((question + step * pull).astype(np.float32)[None])[0]
    return found
