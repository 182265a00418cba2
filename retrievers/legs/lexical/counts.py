"""What BM25's weights are computed of, kept beside them, so that several parts can be weighed as one index.

counts.npy         uint8 [n_postings], times that a document has the term; 255 stands for that many and more
counts_large.npy   int64 [m, 2], (posting, count) of each that is 255 or more, ascending
lengths.npy        int32 [n_docs], terms of each document, repetitions counted
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import IndexProblem
from retrievers.stores.arrays import VectorFile, load_array, load_vector

_MANY = 255


class CountsWriter:
    """Counts in the order of the postings. A context manager; leaving it without an exception writes the table."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._n = folder, 0
        self._large: list[NDArray[np.int64]] = [np.empty((0, 2), np.int64)]
        self._file = VectorFile(folder / "counts.npy", np.uint8)

    def append(self, counts: NDArray[np.int32]) -> None:
        """The counts of the next postings.

        Raises:
            OSError: the disk is full.
        """
        self._file.append(np.minimum(counts, _MANY).astype(np.uint8))
        large = np.flatnonzero(counts >= _MANY)
        self._large.append(np.stack([large + self._n, counts[large]], axis=1).astype(np.int64))
        self._n += len(counts)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        self._file.__exit__(kind, *error)
        if kind is None:
            np.save(self._folder / "counts_large.npy", np.concatenate(self._large))


class Counts:
    """What `CountsWriter` wrote, memory-mapped, and the lengths of the documents.

    Raises:
        IndexProblem: a file is absent, cannot be read, or is not of so many postings and documents.
    """

    def __init__(self, folder: Path, *, n_postings: int, n_docs: int) -> None:
        self._counts = load_vector(folder / "counts.npy", np.uint8)
        self._large = load_array(folder / "counts_large.npy")
        self.lengths = load_vector(folder / "lengths.npy", np.int32)
        fitting = (
            self._counts.shape == (n_postings,)
            and self.lengths.shape == (n_docs,)
            and self._large.dtype == np.int64
            and self._large.ndim == 2
            and self._large.shape[1] == 2
        )
        if not fitting:
            raise IndexProblem(f"'{folder}': its arrays do not fit together. Build the index again")

    def of(self, postings: slice) -> NDArray[np.int32]:
        """int32: the counts of these postings."""
        counts = self._counts[postings].astype(np.int32)
        first, last = np.searchsorted(self._large[:, 0], [postings.start, postings.stop])
        large = self._large[first:last]
        counts[large[:, 0] - postings.start] = large[:, 1]
        return counts
