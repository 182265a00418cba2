"""Vectors in cells, each a few bytes long, and the vectors themselves for the last word.

    codes.faiss   cells (k-means) and a code for every vector: product quantisation (Jégou et al., TPAMI 2011), or a bit for
                  each number (RaBitQ: Gao and Long, SIGMOD 2024)
    and the files of the flat structure

A search looks into some cells, takes the best by their codes, and scores those by their vectors, which stay on disk but for
these few. So memory holds the codes, and scores are as exact as the vectors are kept.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import isqrt
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rag.core.progress import Progress
from retrievers.stores.faiss_store import faiss_library, row_selector
from retrievers.stores.hits import best
from retrievers.stores.structures import Flat
from retrievers.stores.vectors import Hits, VectorStore, is_scanned

_FILE = "codes.faiss"
_BLOCK = 32768
_MOST_CELLS = 4096
_TRAINED_ON = 64
"""Vectors for each cell that k-means is shown."""
_PROBES, _PROBED = 32, 1 / 6
"""Cells that are looked into, and of many cells which share of them."""


class InCells(ABC):
    """Writes and opens; what a vector's code is, a class below says.

    `least`, `per_hit`: how many of the best by their codes are scored by their vectors, at the least and for each hit.
    """

    least: ClassVar[int]
    per_hit: ClassVar[int]

    @abstractmethod
    def codes(self, quantizer: Any, dim: int, n_cells: int) -> Any:
        """An index of faiss, empty and untrained."""

    @abstractmethod
    def parameters(self, *, probes: int, selector: Any) -> Any:
        """How it is searched."""

    def exact(self, storage: str) -> bool:
        return False

    def write(self, vectors: NDArray[np.float32], folder: Path, *, storage: str, progress: Progress) -> None:
        faiss = faiss_library()
        Flat().write(vectors, folder, storage=storage, progress=progress)
        n, dim = vectors.shape
        n_cells = max(1, min(_MOST_CELLS, isqrt(n)))
        quantizer = faiss.IndexFlatIP(dim)
        index = self.codes(quantizer, dim, n_cells)
        sample = np.sort(np.random.default_rng(0).permutation(n)[: max(_TRAINED_ON * n_cells, 1 << 14)])
        index.train(_enough(np.array(vectors[sample]), dim))
        for start in range(0, n, _BLOCK):
            index.add(np.ascontiguousarray(vectors[start : start + _BLOCK]))
            progress("index vectors", min(start + _BLOCK, n), n)
        faiss.write_index(index, str(folder / _FILE))

    def open(self, folder: Path, *, storage: str) -> VectorStore:
        faiss = faiss_library()
        index = faiss.read_index(str(folder / _FILE), faiss.IO_FLAG_MMAP_IFC)
        return CoarseStore(index, Flat().open(folder, storage=storage), self)


class IvfPq(InCells):
    """Product codes: a byte for every four numbers or so."""

    least, per_hit = 100, 10

    def codes(self, quantizer: Any, dim: int, n_cells: int) -> Any:
        faiss = faiss_library()
        n_parts = next(parts for parts in range(max(1, dim // 4), 0, -1) if dim % parts == 0)
        return faiss.IndexIVFPQ(quantizer, dim, n_cells, n_parts, 8, faiss.METRIC_INNER_PRODUCT)

    def parameters(self, *, probes: int, selector: Any) -> Any:
        return faiss_library().SearchParametersIVF(nprobe=probes, sel=selector)


class RaBitQ(InCells):
    """A bit for every number, and eight bytes. Numbers are mixed by a rotation first, so that each bit says as much."""

    least, per_hit = 400, 40

    def codes(self, quantizer: Any, dim: int, n_cells: int) -> Any:
        faiss = faiss_library()
        rotation = faiss.RandomRotationMatrix(dim, dim)
        rotation.init(0)
        cells = faiss.IndexIVFRaBitQ(quantizer, dim, n_cells, faiss.METRIC_INNER_PRODUCT)
        return faiss.IndexPreTransform(rotation, cells)

    def parameters(self, *, probes: int, selector: Any) -> Any:
        faiss = faiss_library()
        of_cells = faiss.IVFRaBitQSearchParameters(nprobe=probes, sel=selector, qb=8)
        return faiss.SearchParametersPreTransform(index_params=of_cells)


class CoarseStore:
    """Finds candidates by codes, and scores them by `vectors`."""

    def __init__(self, index: Any, vectors: VectorStore, cells: InCells) -> None:
        self._index, self._vectors, self._cells = index, vectors, cells
        self._n_cells = int(faiss_library().extract_index_ivf(index).nlist)
        if index.ntotal != vectors.shape[0]:
            raise ValueError(f"{index.ntotal} codes for {vectors.shape[0]} vectors")

    @property
    def shape(self) -> tuple[int, int]:
        return self._vectors.shape

    def search(self, queries: NDArray[np.float32], *, k: int, mask: NDArray[np.bool_] | None) -> Hits:
        n_allowed = self.shape[0] if mask is None else int(mask.sum())
        wanted = max(self._cells.least, self._cells.per_hit * k)
        if n_allowed <= wanted or (mask is not None and is_scanned(n_allowed, self.shape[0])):
            return self._vectors.search(queries, k=k, mask=mask)
        probes = min(self._n_cells, max(_PROBES, int(self._n_cells * _PROBED)))
        parameters = self._cells.parameters(probes=probes, selector=row_selector(mask))
        _, candidates = self._index.search(queries, wanted, params=parameters)
        rows = np.full((len(queries), k), -1, dtype=np.int32)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        for place, query in enumerate(queries):
            own = np.sort(candidates[place][candidates[place] >= 0]).astype(np.int32)
            if len(own) < min(k, n_allowed):  # cells with too few allowed rows: look at all
                rows[place], scores[place] = (each[0] for each in self._vectors.search(query[None], k=k, mask=mask))
                continue
            hits, values = best(own, np.vecdot(self._vectors.vectors(own), query), k=k)  # equal rows get equal bits
            rows[place, : len(hits)], scores[place, : len(hits)] = hits, values
        return rows, scores

    def vectors(self, rows: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        return self._vectors.vectors(rows)


def _enough(sample: NDArray[np.float32], dim: int) -> NDArray[np.float32]:
    """A sample that codes of 256 values can be learnt from, however few vectors there are: they are repeated."""
    if not len(sample):
        return np.zeros((256, dim), dtype=np.float32)
    return np.ascontiguousarray(np.tile(sample, (-(-256 // len(sample)), 1)))
