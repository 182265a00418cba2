"""float32 vectors in an npy file, memory-mapped, searched exactly.

faiss does the search, but its flat index is not used as the container: it has to hold all vectors in memory to be
written, and takes no row filter that skips reading. Its brute-force kernel gives the same hits on mapped blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.core.progress import Progress, silent
from retrievers.stores.arrays import map_npy
from retrievers.stores.chain_rows import ChainedArray, ChainRows
from retrievers.stores.reserved import reserved_array

_FILE = "vectors.npy"
_BLOCK = 32768  # rows: 48 MiB at 384 numbers, what a filter copies at once
_TOGETHER = 64
"""Queries whose scores with a block are in memory at a time."""
_MOST_COPIED, _FEW, _SPARE = 0.2, 4, 16
"""Share of a block's rows that a filter copies at most for few queries; hits asked for beyond twice those expected to do."""


def write(vectors: NDArray[np.float32] | ChainedArray, folder: Path, *, progress: Progress = silent) -> None:
    n = len(vectors)
    if n == 0:
        np.save(folder / _FILE, vectors[:], allow_pickle=False)
        return
    out = reserved_array(folder / _FILE, vectors.shape)
    for start in range(0, n, _BLOCK):
        out[start : start + _BLOCK] = vectors[start : start + _BLOCK]
        progress("write vectors", min(start + _BLOCK, n), n)
    out.flush()


def read(folder: Path) -> MappedStore:
    return MappedStore(_load(folder))


def read_chain(folders: Sequence[Path], rows: ChainRows) -> MappedStore:
    """Vectors that lie in parts. Blocks have the rows that those of one file have, so scores are the same to the last bit."""
    return MappedStore(chained(folders, rows))


def chained(folders: Sequence[Path], rows: ChainRows) -> ChainedArray:
    """The vectors themselves.

    Raises:
        ValueError: parts are of other sizes than their rows say, or of different ones.
    """
    parts = [_load(folder) for folder in folders]
    if [len(part) for part in parts] != [*rows.sizes] or len({(part.dtype, part.shape[1:]) for part in parts}) != 1:
        raise ValueError("its parts do not fit together")
    return ChainedArray(parts, rows)


def _load(folder: Path) -> NDArray[np.float32]:
    return map_npy(folder / _FILE)


class MappedStore:
    """Exact search over float32 [n, dim]."""

    def __init__(self, vectors: NDArray[np.float32] | ChainedArray) -> None:
        if vectors.ndim != 2 or vectors.dtype != np.float32:
            raise ValueError(f"vectors must be float32 [n, dim], got {vectors.dtype} {vectors.shape}")
        self._vectors = vectors

    @property
    def shape(self) -> tuple[int, int]:
        return self._vectors.shape[0], self._vectors.shape[1]

    def search(
        self, queries: NDArray[np.float32], *, k: int, mask: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        rows = np.full((len(queries), k), -1, dtype=np.int64)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        for start in range(0, len(self._vectors), _BLOCK):
            hits = self._in_block(start, queries, k=k, mask=mask)
            if hits is not None:
                rows, scores = _best(np.hstack([rows, hits[0]]), np.hstack([scores, hits[1]]), k=k)
        return rows.astype(np.int32), scores

    def search_less(
        self,
        queries: NDArray[np.float32],
        *,
        k: int,
        mask: NDArray[np.bool_] | None,
        taken: NDArray[np.float32],
        groups: NDArray[np.int64],
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """See `TakesOff`."""
        rows = np.full((len(queries), k), -1, dtype=np.int64)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        for first in range(0, len(queries), _TOGETHER):
            some = slice(first, first + _TOGETHER)
            for start in range(0, len(self._vectors), _BLOCK):
                block = slice(start, start + _BLOCK)
                less = queries[some] @ self._vectors[block].T - taken[some][:, groups[block]]
                if mask is not None:
                    less[:, ~mask[block]] = -np.inf
                best = np.argpartition(-less, min(k, less.shape[1]) - 1, axis=1)[:, :k]
                found = np.hstack([scores[some], np.take_along_axis(less, best, axis=1)])
                rows[some], scores[some] = _best(np.hstack([rows[some], start + best]), found, k=k)
        return np.where(np.isneginf(scores), -1, rows).astype(np.int32), scores

    def _in_block(
        self, start: int, queries: NDArray[np.float32], *, k: int, mask: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]] | None:
        block = self._vectors[start : start + _BLOCK]
        allowed = None if mask is None else mask[start : start + _BLOCK]
        if allowed is None or allowed.all():
            places, scores = _nearest(queries, block, k=k)
            return start + places, scores
        kept = np.flatnonzero(allowed)
        if len(kept) == 0:
            return None
        if len(kept) > _MOST_COPIED * len(block) and len(queries) <= _FEW:
            # For few queries it takes longer to copy these than to look at all, for so many hits that enough are allowed.
            places, scores = _nearest(queries, block, k=_SPARE + 2 * k * len(block) // len(kept))
            scores = np.where(allowed[places], scores, -np.inf).astype(np.float32)
            if (np.isfinite(scores).sum(axis=1) >= min(k, len(kept))).all():
                return start + places, scores
        places, scores = _nearest(queries, block[kept], k=k)
        return start + kept[places], scores

    def vectors(self, rows: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        return np.array(self._vectors[rows], dtype=np.float32)


def _nearest(
    queries: NDArray[np.float32], block: NDArray[np.float32], *, k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Places in the block and scores, [n_queries, k or as many as there are]."""
    import faiss

    metric = faiss.METRIC_INNER_PRODUCT
    scores, places = faiss.knn(queries, np.ascontiguousarray(block), min(k, len(block)), metric=metric)
    return places, scores


def _best(
    rows: NDArray[np.int64], scores: NDArray[np.float32], *, k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k best of each line, ties by row ascending."""
    order = np.lexsort((rows, -scores), axis=-1)[:, :k]
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)
