"""Documents' terms, one document after the other -> the files of a lexical leg."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from retrievers.legs.lexical.impacts import ImpactsWriter
from retrievers.legs.lexical.rank_bm25_leg import VARIANTS as RANK_BM25
from retrievers.legs.lexical.rank_bm25_leg import TokensWriter
from retrievers.legs.lexical.settings import LexicalSettings

VOCABULARY = "vocabulary.json"
"""All terms in the order of their numbers."""


class LexicalWriter:
    """Numbers terms by their first place. A context manager.

    In memory are the vocabulary and 4 or 8 bytes of each document; the postings are on the disk.

    Args:
        folder: exists, and is empty.
    """

    def __init__(self, folder: Path, bm25: LexicalSettings) -> None:
        self._folder = folder
        self._numbers: dict[str, int] = {}
        self._n_docs = self._n_tokens = 0
        self._writer: TokensWriter | ImpactsWriter = (
            TokensWriter(folder) if bm25.variant in RANK_BM25 else ImpactsWriter(folder, bm25)
        )

    def add(self, terms: Iterable[str]) -> None:
        """The next document's terms, in text order.

        Raises:
            OSError: the disk is full.
        """
        numbers = self._numbers
        numbered = [numbers.setdefault(term, len(numbers)) for term in terms]
        self._writer.add(numbered)
        self._n_docs += 1
        self._n_tokens += len(numbered)

    def finish(self) -> dict[str, int]:
        """Write what is known in the end, and return the counts for the manifest.

        Raises:
            OSError: the disk is full.
        """
        self._writer.finish()
        write_vocabulary(self._folder, self._numbers)
        return {"n_docs": self._n_docs, "n_terms": len(self._numbers), "n_tokens": self._n_tokens}

    def __enter__(self) -> Self:
        self._writer.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._writer.__exit__(*error)


def write_vocabulary(folder: Path, numbers: Iterable[str]) -> None:
    """Write all terms, given in the order of their numbers."""
    (folder / VOCABULARY).write_text(json.dumps(list(numbers)), encoding="ascii")
