"""What is wrong with a question: by its words alone, which are English where they name a passage, or since it was asked before."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import dropwhile

import numpy as np
from numpy.typing import NDArray

from rag.evaluate import holds, normalised_words
from rag.indexes import Index, encoder_of, unit
from rag.types import Document
from rag.writing import folded

LONGEST_COPY = 8
"""Words in a row that a question may not share with its passage."""
LONGEST_ANSWER = 12
"""Words of a short answer."""

_JOINS = ("is", "are", "was", "were")
_NAMES_IT = re.compile(
    r"\b(?:the|this|that|these|those|given|above|following|provided)\s+(?:(?:given|above|following|provided|short)\s+)?"
    r"(?:passage|text|document|article|paragraph|excerpt|abstract|snippet)s?\b"
    r"|\b(?:this|given|above|following|provided)\s+(?:code|context|function|method|study|paper|page|section)s?\b",
    re.IGNORECASE,
)


def fault(question: str, answer: str, passage: Document) -> str:
    """Why a question cannot be used, by its words; empty where nothing is wrong with them.

    >>> frames = Document(doc_id="d", text="Frames are brazed from chromoly tubes.")
    >>> fault("What are frames brazed from?", "chromoly tubes", frames), fault("What is the text about?", "tubes", frames)
    ('', 'names the passage')
    """
    if _NAMES_IT.search(question):
        return "names the passage"
    if _copies(question, passage.full_text):
        return "copied"
    if not holds(passage.full_text, answer):
        return "no such answer"
    return "long answer" if len(normalised_words(answer)) > LONGEST_ANSWER else ""


def _copies(question: str, text: str) -> bool:
    words, stretch = normalised_words(question), f" {' '.join(normalised_words(text))} "
    runs = (words[start : start + LONGEST_COPY] for start in range(len(words) - LONGEST_COPY + 1))
    return any(f" {' '.join(run)} " in stretch for run in runs)


def added(question: str, answer: str) -> str:
    """An answer without a beginning that only repeats the question; whole where it adds nothing.

    >>> added("What are frames brazed from?", "The frames are brazed from chromoly tubes.")
    'chromoly tubes.'
    """
    said = {*normalised_words(question), *_JOINS}
    return " ".join(dropwhile(lambda word: said.issuperset(normalised_words(word)), answer.split())) or answer


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
