"""Inner products without what all texts of a language have in common.

An encoder for many languages puts texts of one language near one another, whatever they are about: the first hits of a
question are nearly all in its own language, and an answer in another one is never seen. So of a score that part is taken off
which says the language alone:

    score(q, d) = q . (v_d - w (m_L - m)),   w = n_L / (n_L + 20)

with m_L the mean of the n_L vectors in the language of d, and m that of all languages. It is the mean of CCP's calibration (Wu
et al., IJCAI 2022, arXiv 2206.03281); w is ours, and keeps a language of few texts near what it was, as their mean is of what
they are about. Texts of no known language, such as rows of tables, are no part of it and keep their scores. Vectors stay as
they are, so what is kept of them elsewhere is good for any order.

    languages.npy   uint32 [n], of each row the letters of its language as a number; 0 where it is not known
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.core.types import Population
from retrievers.stores.arrays import load_vector
from retrievers.stores.chain_rows import ChainRows
from retrievers.stores.hits import merged
from retrievers.stores.moments import VectorRows
from retrievers.stores.population import shifted_population
from retrievers.stores.vectors import Hits, TakesOff, VectorStore

FILE = "languages.npy"
_HALF = 20
"""Texts of a language from which on at least half of what they have in common is taken off."""
_LEAST, _MOST = 10, 20
"""Texts of a language that counts, and languages: each costs a search."""
_BLOCK = 8192

Rows = NDArray[np.bool_]


def write_languages(languages: Sequence[str], folder: Path) -> None:
    """Write the languages of rows, ISO 639 codes of two or three letters, empty where one is not known."""
    np.save(folder / FILE, np.array([int.from_bytes(each.encode()[:4], "big") for each in languages], dtype=np.uint32))


def read_languages(folders: Sequence[Path], rows: ChainRows | None = None) -> NDArray[np.uint32] | None:
    """Those of a leg, or of what is left of several as one; None where one of them does not say them.

    Raises:
        IndexProblem: a file is not what was written.
    """
    if not all((folder / FILE).exists() for folder in folders):
        return None
    parts = [load_vector(folder / FILE, np.uint32) for folder in folders]
    return np.asarray(parts[0] if rows is None else rows.joined(parts))


class LanguageRows:
    """Which rows are in which language, of those with texts enough. `of` says None where that is one language or none.

    Args:
        groups: int64 [n], of each row the number of its language; 0 for all the others.
    """

    def __init__(self, groups: NDArray[np.int64]) -> None:
        self.groups, self.n = groups, int(groups.max(initial=0)) + 1

    @classmethod
    def of(cls, languages: NDArray[np.uint32] | None) -> LanguageRows | None:
        """`languages`: as they are written."""
        if languages is None:
            return None
        codes, counts = np.unique(languages, return_counts=True)
        known = [at for at in np.argsort(-counts, kind="stable") if codes[at] and counts[at] >= _LEAST][:_MOST]
        if len(known) < 2:
            return None
        number = np.zeros(len(codes), np.int64)
        number[known] = np.arange(1, len(known) + 1)
        return cls(number[np.searchsorted(codes, languages)])

    def common(self, vectors: VectorRows, among: Rows | None) -> Common:
        """What texts of each language have in common, counted over some rows or all. Reads their vectors."""
        rows = np.arange(len(self.groups)) if among is None else np.flatnonzero(among)
        total, n = np.zeros((self.n, vectors.shape[1])), np.bincount(self.groups[rows], minlength=self.n)
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK]
            own, read = self.groups[block], vectors.vectors(block).astype(np.float64)
            for group in np.unique(own):
                total[group] += read[own == group].sum(axis=0)
        means = total / np.maximum(n, 1)[:, None]
        weights = n / (n + _HALF)
        weights[0] = 0
        shifts = weights[:, None] * (means - total[1:].sum(axis=0) / max(n[1:].sum(), 1))
        return Common(self.groups, n / max(len(rows), 1), means, shifts.astype(np.float32))


@dataclass(frozen=True, slots=True)
class Common:
    """By language, 0 for rows of none that counts: share of the rows, mean [n, dim], and what is taken off [n, dim]."""

    groups: NDArray[np.int64]
    shares: NDArray[np.float64]
    means: NDArray[np.float64]
    shifts: NDArray[np.float32]

    @property
    def n_bytes(self) -> int:
        """In memory."""
        return self.means.nbytes + self.shifts.nbytes

    def search(self, store: VectorStore, queries: NDArray[np.float32], k: int, mask: Rows | None) -> Hits:
        """The best k of all rows, or of each language where a store cannot do that at once."""
        taken = queries @ self.shifts.T
        if isinstance(store, TakesOff):
            return store.search_less(queries, k=k, mask=mask, taken=taken, groups=self.groups)
        found = []
        for group in range(len(self.shifts)):
            own = self.groups == group
            rows, scores = store.search(queries, k=k, mask=own if mask is None else own & mask)
            found.append((rows, scores - taken[:, group, None]))
        return merged(found, k=k)

    def scores(self, inner: NDArray[np.float32], query: NDArray[np.float32], rows: NDArray[Any]) -> NDArray[np.float32]:
        """float32 [len(rows)]: scores of rows from their inner products with a query vector."""
        taken: NDArray[np.float32] = (self.shifts @ query)[self.groups[rows]]
        return inner - taken

    def population(self, inner: Population, query: NDArray[np.float32]) -> Population:
        """What scores come to over all rows that were counted, from what inner products come to."""
        own = query.astype(np.float64)
        return shifted_population(inner, self.shares, self.means @ own, self.shifts.astype(np.float64) @ own)
