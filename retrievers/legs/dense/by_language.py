"""Inner products without what an encoder says of the language alone.

An encoder for many languages puts texts of one language near one another, whatever they are about: the first hits of a
question are nearly all in its own language, and an answer in another one is never seen. So a part of what tells a language is
taken off its passages:

    score(q, d) = q . (v_d - 0.75 (m_L - m_en))

with m_L the mean vector of ten sentences in the language of d, and m_en that of the same ten in English (`sentences.tsv`). That
is the mean of CCP's calibration (Wu et al., IJCAI 2022, arXiv 2206.03281), but of sentences that say the same in each language:
the mean of a corpus also says what its texts in that language are about, and a folder may have all of a subject in one. Of texts
in other languages, or in none as rows of tables are, nothing is taken off. Vectors stay as they are.

    languages.npy   uint32 [n], of each row the letters of its language as a number; 0 where it is not known
    tells.npy       uint32 [n languages], and tells_by.npy float32 [n languages, dim]: m_L - m_en of those of the rows
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.core.types import Population
from retrievers.stores.arrays import load_array, load_vector
from retrievers.stores.chain_rows import ChainRows
from retrievers.stores.hits import merged
from retrievers.stores.moments import VectorRows
from retrievers.stores.population import shifted_population
from retrievers.stores.vectors import Hits, TakesOff, VectorStore

_ROWS, _CODES, _VECTORS = "languages.npy", "tells.npy", "tells_by.npy"
_SHARE = 0.75
"""Of what tells a language, that is taken off."""
_BASE = "en"
_BLOCK = 8192

Rows = NDArray[np.bool_]
Encode = Callable[[list[str]], NDArray[np.float32]]


@cache
def sentences() -> Mapping[str, list[str]]:
    """ISO 639 code -> ten sentences, which say the same in each language."""
    text = (files("retrievers.legs.dense") / "sentences.tsv").read_text(encoding="utf-8")
    lines = (line.split("\t") for line in text.splitlines())
    return {code: said for code, *said in lines}


@dataclass(frozen=True, slots=True)
class Languages:
    """Which rows are in which language, and what tells a language. `rows`: uint32 [n]. `tells`: code as a number -> [dim]."""

    rows: NDArray[np.uint32]
    tells: Mapping[int, NDArray[np.float32]]

    @classmethod
    def of(cls, languages: Sequence[str], encode: Encode) -> Languages:
        """Of rows by their ISO 639 codes, empty where one is not known. `encode`: texts as documents -> [n, dim]."""
        known = [code for code in dict.fromkeys([_BASE, *languages]) if code in sentences()]
        means = {code: encode(sentences()[code]).mean(axis=0) for code in known}
        return cls(
            np.array([_number(code) for code in languages], dtype=np.uint32),
            {_number(code): mean - means[_BASE] for code, mean in means.items()},
        )

    @classmethod
    def read(cls, folders: Sequence[Path], rows: ChainRows | None = None) -> Languages | None:
        """Those of a leg, or of what is left of several as one; None where one of them does not say them.

        Raises:
            IndexProblem: a file is not what was written.
        """
        if not all((folder / _ROWS).exists() for folder in folders):
            return None
        parts = [load_vector(folder / _ROWS, np.uint32) for folder in folders]
        tells = dict[int, NDArray[np.float32]]()
        for folder in folders:
            codes = load_vector(folder / _CODES, np.uint32).tolist()
            tells.update(zip(codes, np.array(load_array(folder / _VECTORS)), strict=False))
        return cls(np.asarray(parts[0] if rows is None else rows.joined(parts)), tells)

    def write(self, folder: Path) -> None:
        """Write them beside the vectors."""
        np.save(folder / _ROWS, self.rows)
        np.save(folder / _CODES, np.array(list(self.tells), dtype=np.uint32))
        np.save(folder / _VECTORS, np.array(list(self.tells.values()), dtype=np.float32))

    def shifts(self) -> Shifts | None:
        """What is taken off which rows; None where that is nothing, as in English."""
        present = [code for code in np.unique(self.rows).tolist() if code in self.tells and code != _number(_BASE)]
        if not present:
            return None
        groups = np.zeros(len(self.rows), np.int64)
        for group, code in enumerate(present, start=1):
            groups[self.rows == code] = group
        shifts = _SHARE * np.array([self.tells[code] for code in present])
        return Shifts(groups, np.vstack([np.zeros_like(shifts[:1]), shifts]).astype(np.float32))


@dataclass(frozen=True, slots=True)
class Means:
    """Of each group: share of the rows that were counted, and mean of their vectors, [n groups, dim]."""

    shares: NDArray[np.float64]
    means: NDArray[np.float64]

    @property
    def n_bytes(self) -> int:
        """In memory."""
        return self.means.nbytes


@dataclass(frozen=True, slots=True)
class Shifts:
    """`groups`: int64 [n], the group of each row. `shifts`: float32 [n groups, dim], what is taken off it; of group 0 nothing."""

    groups: NDArray[np.int64]
    shifts: NDArray[np.float32]

    def search(self, store: VectorStore, queries: NDArray[np.float32], k: int, mask: Rows | None) -> Hits:
        """The best k of all rows, or of each group where a store cannot do that at once."""
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

    def means(self, vectors: VectorRows, among: Rows | None) -> Means:
        """Of the groups, counted over some rows or all. Reads their vectors."""
        rows = np.arange(len(self.groups)) if among is None else np.flatnonzero(among)
        total, n = np.zeros(self.shifts.shape), np.bincount(self.groups[rows], minlength=len(self.shifts))
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK]
            own, read = self.groups[block], vectors.vectors(block).astype(np.float64)
            for group in np.unique(own):
                total[group] += read[own == group].sum(axis=0)
        return Means(n / max(len(rows), 1), total / np.maximum(n, 1)[:, None])

    def population(self, inner: Population, query: NDArray[np.float32], counted: Means) -> Population:
        """What scores come to over all rows that were counted, from what inner products come to."""
        own = query.astype(np.float64)
        return shifted_population(inner, counted.shares, counted.means @ own, self.shifts.astype(np.float64) @ own)


def _number(code: str) -> int:
    return int.from_bytes(code.encode()[:4], "big")
