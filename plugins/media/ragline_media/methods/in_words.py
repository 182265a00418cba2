"""Pictures in postings: each is some words of a vocabulary with weights, and a question finds it by the words that both have."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rag.indexes import SparseRows, Sums

Vectors = NDArray[np.float32]

_WORD = re.compile(r"\w+")


def word_weights(pictures: Vectors, words: Vectors, *, most: int = 32) -> NDArray[np.float32]:
    """float32 [n, v]: how much each word is said of each picture, 0 for all but the `most` that are said most (after VDR: Zhou et
    al., ICLR 2024).

    A word is said by elu(x) + 1, as there. x is how like picture and word are, less the mean of that over the pictures and over
    its deviation: no tower was taught to weigh words, and some are like every picture.

    Args:
        pictures: [n, d], all that are in the postings, of length 1.
        words: [v, d], of length 1.
        most: words of a picture.
    """
    likeness = pictures @ words.T
    x = (likeness - likeness.mean(axis=0)) / np.maximum(likeness.std(axis=0), 1e-6)
    weights: Vectors = np.where(x > 0, x + 1, np.exp(np.minimum(x, 0))).astype(np.float32)
    if weights.shape[1] > most:
        weights[np.arange(len(weights))[:, None], np.argsort(-weights, axis=1, kind="stable")[:, most:]] = 0
    return weights


class PicturesInWords:
    """Postings of pictures. A score is the sum of the weights of the question's words, and `parts` tells them.

    Args:
        names: of the words, in lower case.
        weights: [n, v], 0 or more.
    """

    def __init__(self, names: Sequence[str], weights: NDArray[np.float32]) -> None:
        if weights.ndim != 2 or weights.shape[1] != len(names) or (weights < 0).any():
            raise ValueError(f"PicturesInWords: weights of {[*weights.shape]}, and {len(names)} words")
        self._number = {name: n for n, name in enumerate(names)}
        places, tokens = np.nonzero(weights)
        starts = np.concatenate([[0], np.cumsum(np.count_nonzero(weights, axis=1))]).astype(np.int64)
        self._rows = SparseRows(tokens=tokens.astype(np.int32), weights=weights[places, tokens], starts=starts)
        self._sums = Sums(self._rows.turned(), n_docs=len(weights), engine="numpy")

    def scores(self, question: str) -> NDArray[np.float64]:
        """float64 [n]. Each word of the question counts once; those that no picture may have count nothing."""
        return self._sums.of(dict.fromkeys(self._asked(question).values(), 1.0))

    def parts(self, question: str, place: int) -> Mapping[str, float]:
        """Word -> what it brings to the score of a picture."""
        row = self._rows.row(place)
        weight = dict(zip(row["tokens"].tolist(), row["weights"].tolist(), strict=True))
        return {word: weight[n] for word, n in self._asked(question).items() if n in weight}

    def _asked(self, question: str) -> dict[str, int]:
        return {word: self._number[word] for word in _WORD.findall(question.lower()) if word in self._number}
