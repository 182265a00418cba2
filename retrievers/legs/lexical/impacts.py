"""BM25 as weights of postings: what each term adds to each document's score (bm25s: Lù 2024, arXiv:2407.03618).

BM25 is a sum over query terms, so all of it but the sum is done when the index is built. The weights are bm25s' to the
last bit, which takes its order of operations; bm25s itself would hold all postings at once.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from retrievers.legs.lexical.counts import CountsWriter
from retrievers.legs.lexical.settings import LexicalSettings
from retrievers.stores.column_blocks import BLOCK, ColumnBlocks

WITH_FLOOR = ("bm25l", "bm25+")
"""Variants by which a term adds something to documents without it."""

_LEAST = np.float32(1e-30)
"""Stands for an impact of zero (robertson: terms in half of the documents; atire: in all). It vanishes in any
other impact, but a document with a query term keeps a score above zero, and one without stays at zero."""

_IDF: dict[str, Callable[[int, int], float]] = {
    "lucene": lambda df, n: math.log(1 + (n - df + 0.5) / (df + 0.5)),
    "robertson": lambda df, n: math.log(max((n - df + 0.5) / (df + 0.5), 1)),
    "atire": lambda df, n: math.log(n / df),
    "bm25l": lambda df, n: math.log((n + 1) / (df + 0.5)),
    "bm25+": lambda df, n: math.log((n + 1) / df),
}
"""Documents with a term, and all documents -> what the term is worth."""


class ImpactsWriter:
    """Documents, one after the other -> the files of `retrievers.stores.postings` and of `counts`. A context manager.

    In memory are 4 bytes a document and what `ColumnBlocks` takes.

    Args:
        block: terms, repetitions counted, that are gathered before they are put aside.
    """

    def __init__(self, folder: Path, settings: LexicalSettings, *, block: int = BLOCK) -> None:
        self._folder, self._settings, self._block = folder, settings, block
        self._lengths = array("i")
        self._terms, self._first_row = array("i"), 0
        self._blocks = ColumnBlocks(folder, block=block)

    def add(self, terms: list[int]) -> None:
        """The next document's term numbers, in any order.

        Raises:
            OSError: the disk is full.
        """
        self._terms.extend(terms)
        self._lengths.append(len(terms))
        if len(self._terms) >= self._block:
            self._put_aside()

    def finish(self) -> None:
        """Write the files.

        Raises:
            OSError: the disk is full.
        """
        self._put_aside()
        write_impacts(self._folder, self._blocks, np.array(self._lengths, dtype=np.int32), self._settings)

    def _put_aside(self) -> None:
        lengths = self._lengths[self._first_row :]
        rows = np.repeat(np.arange(self._first_row, len(self._lengths)), lengths)
        terms = np.array(self._terms, dtype=np.int64)
        pairs, counts = np.unique(terms << 32 | rows, return_counts=True)
        self._blocks.add(pairs >> 32, pairs & 0xFFFFFFFF, counts)
        self._terms, self._first_row = array("i"), len(self._lengths)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._blocks.__exit__()


def write_impacts(folder: Path, blocks: ColumnBlocks, lengths: NDArray[np.int32], settings: LexicalSettings) -> None:
    """Counts that were put aside -> weighed postings, counts and lengths.

    Raises:
        OSError: the disk is full.
    """
    weights = Weights(blocks.frequencies, Statistics.of(lengths), settings)
    if weights.floor is not None:
        np.save(folder / "floor.npy", weights.floor)
    np.save(folder / "lengths.npy", lengths)
    with CountsWriter(folder) as kept:

        def weigh(terms: NDArray[np.int32], rows: NDArray[np.int32], counts: NDArray[np.int32]) -> NDArray[np.float32]:
            kept.append(counts)
            return weights(terms, counts, lengths[rows])

        blocks.write(weigh)


@dataclass(frozen=True, slots=True)
class Statistics:
    """What BM25 has to know of all documents together. `mean_length`: terms of a document, repetitions counted."""

    n_docs: int
    mean_length: np.float64

    @classmethod
    def of(cls, lengths: NDArray[np.int32]) -> Self:
        """Those of documents with these lengths; a mean of 1 where none has a term, as it divides."""
        return cls(len(lengths), lengths.mean() if lengths.any() else np.float64(1))


class Weights:
    """BM25 of postings, once the counts of all documents are known.

    `floor`: float32 [n_terms], what a term adds to documents without it; None where that is nothing.

    Args:
        frequencies: int64 [n_terms], documents that have each term.
    """

    def __init__(self, frequencies: NDArray[np.int64], statistics: Statistics, settings: LexicalSettings) -> None:
        self._mean, self._settings = statistics.mean_length, settings
        different, places = np.unique(frequencies, return_inverse=True)
        idf = np.array([_IDF[settings.variant](df, statistics.n_docs) for df in different.tolist()])
        self._idf = idf.astype(np.float32)[places]
        self.floor: NDArray[np.float32] | None = None
        if settings.variant in WITH_FLOOR:
            least = self._saturated(np.zeros(1), np.full(1, self._mean))
            self.floor = (idf * least).astype(np.float32)[places]

    def __call__(
        self, terms: NDArray[np.int32], counts: NDArray[np.int32], lengths: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """float32: the weight of each posting. `lengths`: of its document."""
        scores = self._idf[terms] * self._saturated(counts.astype(np.float32), lengths)
        if self.floor is not None:
            scores -= self.floor[terms]
        return np.maximum(scores.astype(np.float32), _LEAST)

    def _saturated(self, counts: NDArray[Any], lengths: NDArray[Any]) -> NDArray[np.float64]:
        """What so many of a term are worth in documents of these lengths."""
        k1, b, delta = self._settings.k1, self._settings.b, self._settings.delta
        score: NDArray[np.float64]
        match self._settings.variant:
            case "atire":
                score = (counts * (k1 + 1)) / (counts + k1 * (1 - b + b * lengths / self._mean))
            case "bm25l":
                share = counts / (1 - b + b * lengths / self._mean)
                score = ((k1 + 1) * (share + delta)) / (k1 + share + delta)
            case "bm25+":
                score = (k1 + 1) * counts / (k1 * (1 - b + b * lengths / self._mean) + counts) + delta
            case _:
                score = counts / (k1 * ((1 - b) + b * lengths / self._mean) + counts)
        return score
