"""Which questions were asked before: in the same words, or with vectors that are nearly the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rag.indexes import Index, encoder_of, unit
from rag.writing import folded

NEAREST = 0.95
"""Cosine from which on two questions are the same."""


class Repeats:
    """The questions that were kept so far. Where the index has no dense leg, words alone are compared.

    Args:
        index: whose encoder compares meanings.
        nearest: cosine from which on two questions are the same.
    """

    def __init__(self, index: Index, *, nearest: float = NEAREST) -> None:
        self._encoder = encoder_of(index)
        self._nearest = nearest
        self._words: set[str] = set()
        self._vectors: NDArray[np.float32] = np.zeros((0, 0), np.float32)
        """float32 [room, dim], of which the first `len(self._words)` rows are in use."""

    def sieve(self, questions: Sequence[str]) -> list[str]:
        """Why each is a repetition, of those before this call or in it; empty for those that are none, and are kept."""
        vectors = self._encode(questions)
        return [self._added(question, vector) for question, vector in zip(questions, vectors, strict=True)]

    def _encode(self, questions: Sequence[str]) -> Sequence[NDArray[np.float32] | None]:
        if self._encoder is None or not questions:
            return [None] * len(questions)
        return list(unit(self._encoder.encode(list(questions), role="query")))

    def _added(self, question: str, vector: NDArray[np.float32] | None) -> str:
        n, words = len(self._words), folded(question)
        if words in self._words:
            return "same words"
        if vector is not None:
            if n and float((self._vectors[:n] @ vector).max()) >= self._nearest:
                return "same meaning"
            if n == len(self._vectors):
                room = np.zeros((max(64, 2 * n), len(vector)), np.float32)
                room[:n] = self._vectors[:n] if n else 0
                self._vectors = room
            self._vectors[n] = vector
        self._words.add(words)
        return ""
