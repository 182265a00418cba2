"""A text against the parts of a picture: each thing that the text names finds its part."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rag.indexes import unit

Vectors = NDArray[np.float32]

_TEMPERATURE = 0.1


def matched_parts(nouns: Vectors, parts: Vectors) -> NDArray[np.int64]:
    """[e]: for each thing the part that is most like its bare noun.

    Args:
        nouns: [e, d], such as of "dog", of length 1.
        parts: [p, d], cells of a grid or boxes, of length 1.
    """
    best: NDArray[np.int64] = np.argmax(nouns @ parts.T, axis=1)
    return best


def score_by_parts(
    text: Vectors,
    picture: Vectors,
    phrases: Vectors,
    parts: Vectors,
    *,
    form: Literal["published", "softmax", "entities"] = "entities",
    share: float = 0.5,
) -> float:
    """How well a text fits a picture (ComCLIP: Jiang et al., NAACL 2024).

    `published`: parts join the picture's vector, each weighted by its similarity to its phrase over the sum of them, and the text
    is compared with that. `softmax`: the weights are a softmax instead, which does not break where similarities are small.
    `entities`, ours: (1 - share) of the text's similarity and `share` of the mean over phrases, each with its part. It is this that
    tells which thing has which attribute where a tower does not.

    Args:
        text: [d]. picture: [d].
        phrases: [e, d], each thing with what is said of it, such as "a black dog".
        parts: [e, d], of each phrase its part (`matched_parts`).

    All are of length 1. A text without things is compared as a whole.
    """
    whole = float(text @ picture)
    if not len(phrases):
        return whole
    own = (phrases * parts).sum(axis=1)
    if form == "entities":
        return (1 - share) * whole + share * float(own.mean())
    if form == "softmax":
        powers = np.exp((own - own.max()) / _TEMPERATURE)
        weights = powers / powers.sum()
    else:
        total = float(own.sum())
        weights = own / total if total else np.full(len(own), 1 / len(own))
    joined = unit((picture + weights @ parts).astype(np.float32)[None])[0]
    return float(text @ joined)
