"""Documents' terms, one document after the other -> the files of a lexical leg."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from retrievers.analysis.analyzer import Analyzer
from retrievers.legs.lexical.impacts import ImpactsWriter
from retrievers.legs.lexical.rank_bm25_leg import VARIANTS as RANK_BM25
from retrievers.legs.lexical.rank_bm25_leg import TokensWriter
from retrievers.legs.lexical.settings import LexicalSettings

_KNOWN = 1 << 18
VOCABULARY = "vocabulary.json"
"""All terms in the order of their numbers."""


class LexicalWriter:
    """Numbers terms by their first place. A context manager.

    In memory are the vocabulary, some words and 4 or 8 bytes of each document; the postings are on the disk.

    Args:
        folder: exists, and is empty.
        analyzer: makes the terms.
    """

    def __init__(self, folder: Path, bm25: LexicalSettings, analyzer: Analyzer) -> None:
        self._folder, self._words = folder, analyzer.words
        self._numbers = _Numbers(analyzer)
        self._n_docs = self._n_tokens = 0
        self._writer: TokensWriter | ImpactsWriter = (
            TokensWriter(folder) if bm25.variant in RANK_BM25 else ImpactsWriter(folder, bm25)
        )

    def add(self, text: str) -> None:
        """The next document.

        Raises:
            OSError: the disk is full.
        """
        numbered = [number for number in map(self._numbers.__getitem__, self._words(text)) if number >= 0]
        self._writer.add(numbered)
        self._n_docs += 1
        self._n_tokens += len(numbered)

    def finish(self) -> dict[str, int]:
        """Write what is known in the end, and return the counts for the manifest.

        Raises:
            OSError: the disk is full.
        """
        self._writer.finish()
        terms = self._numbers.of_terms
        write_vocabulary(self._folder, terms)
        return {"n_docs": self._n_docs, "n_terms": len(terms), "n_tokens": self._n_tokens}

    def __enter__(self) -> Self:
        self._writer.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._writer.__exit__(*error)


class _Numbers(dict[str, int]):
    """Word -> the number of its term, -1 where it has none. Kept for many, as most words are met again."""

    def __init__(self, analyzer: Analyzer) -> None:
        self._term_of = analyzer.term_of
        self.of_terms: dict[str, int] = {}

    def __missing__(self, word: str) -> int:
        if len(self) >= _KNOWN:
            self.clear()
        term = self._term_of(word)
        self[word] = number = -1 if term is None else self.of_terms.setdefault(term, len(self.of_terms))
        return number


def write_vocabulary(folder: Path, numbers: Iterable[str]) -> None:
    """Write all terms, given in the order of their numbers."""
    (folder / VOCABULARY).write_text(json.dumps(list(numbers)), encoding="ascii")
