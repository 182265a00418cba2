"""Vectors in a faiss index file: quantised to int8, in a graph (Malkov and Yashunin, TPAMI 2020), or both.

faiss reads damaged files without complaint; digests of the index directory find damage.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.core.progress import Progress, silent
from retrievers.stores.vectors import is_scanned

_FILE = "index.faiss"
_BLOCK = 32768
_TRAIN_ROWS = 65536
_LINKS = 32
_BUILD_BREADTH = 200
_SEARCH_BREADTH = 256


def write(
    vectors: NDArray[np.float32],
    folder: Path,
    *,
    graph: bool,
    storage: str,
    progress: Progress = silent,
) -> None:
    """Build and write, as a graph of neighbours or one after the other.

    The result is held in memory meanwhile, and with it, for int8, a sample of the vectors.
    """
    faiss = faiss_library()
    n, dim = vectors.shape
    index: Any
    if not graph:
        index = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
    elif storage == "int8":
        index = faiss.IndexHNSWSQ(dim, faiss.ScalarQuantizer.QT_8bit, _LINKS, faiss.METRIC_INNER_PRODUCT)
    else:
        index = faiss.IndexHNSWFlat(dim, _LINKS, faiss.METRIC_INNER_PRODUCT)
    if graph:
        index.hnsw.efConstruction = _BUILD_BREADTH
    if storage == "int8":
        sample = np.sort(np.random.default_rng(0).permutation(n)[:_TRAIN_ROWS])
        # faiss needs something to learn ranges from, even for a corpus that is empty.
        index.train(np.array(vectors[sample]) if n else np.zeros((1, dim), dtype=np.float32))
    for start in range(0, n, _BLOCK):
        index.add(np.ascontiguousarray(vectors[start : start + _BLOCK]))
        progress("index vectors", min(start + _BLOCK, n), n)
    faiss.write_index(index, str(folder / _FILE))


def read(folder: Path) -> FaissStore:
    faiss = faiss_library()
    return FaissStore(faiss.read_index(str(folder / _FILE), faiss.IO_FLAG_MMAP_IFC))


class FaissStore:
    """A faiss index with inner product, its rows numbered in the order in which they were added."""

    def __init__(self, index: Any) -> None:
        faiss = faiss_library()
        self._index = index
        self._graph = isinstance(index, faiss.IndexHNSW)
        self._exhaustive = faiss.downcast_index(index.storage) if self._graph else index

    @property
    def shape(self) -> tuple[int, int]:
        return int(self._index.ntotal), int(self._index.d)

    def search(
        self, queries: NDArray[np.float32], *, k: int, mask: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        n_allowed = self.shape[0] if mask is None else int(mask.sum())
        if not self._graph or (mask is not None and is_scanned(n_allowed, self.shape[0])):
            return self._scan(queries, k, mask)
        rows, scores = self._walk(queries, k, mask, share=n_allowed / self.shape[0])
        # The walk may end early, with allowed rows still unseen: such queries look at all.
        short = np.flatnonzero((rows >= 0).sum(axis=1) < min(k, n_allowed))
        if len(short):
            rows[short], scores[short] = self._scan(queries[short], k, mask)
        return rows, scores

    def _walk(
        self, queries: NDArray[np.float32], k: int, mask: NDArray[np.bool_] | None, share: float
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        faiss = faiss_library()
        breadth = int(max(_SEARCH_BREADTH, 2 * k) / share)
        parameters = faiss.SearchParametersHNSW(efSearch=breadth, sel=row_selector(mask))
        return _in_order(*self._index.search(queries, k, params=parameters))

    def _scan(
        self, queries: NDArray[np.float32], k: int, mask: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        faiss = faiss_library()
        parameters = faiss.SearchParameters(sel=row_selector(mask))
        return _in_order(*self._exhaustive.search(queries, k, params=parameters))

    def vectors(self, rows: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = self._index.reconstruct_batch(np.ascontiguousarray(rows, dtype=np.int64))
        return vectors


def faiss_library() -> Any:
    """The library, untyped: its type hints do not know what its Python layer adds, such as keyword parameters."""
    import faiss

    return faiss


def row_selector(mask: NDArray[np.bool_] | None) -> Any:
    """faiss's filter: it skips the other rows while it searches, so that hits are never lost to them."""
    return None if mask is None else faiss_library().IDSelectorBitmap(np.packbits(mask, bitorder="little"))


def _in_order(scores: NDArray[np.float32], rows: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Hits as the leg gives them: faiss fills up with the lowest float and leaves ties as they come."""
    scores = np.where(rows < 0, -np.inf, scores).astype(np.float32)
    order = np.lexsort((rows, -scores), axis=-1)
    return (
        np.take_along_axis(rows, order, axis=1).astype(np.int32),
        np.take_along_axis(scores, order, axis=1),
    )
