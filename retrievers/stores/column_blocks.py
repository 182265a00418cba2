"""Documents, block by block -> postings on disk (`retrievers.stores.postings`), in memory that they do not fill.

A block is sorted by term and put aside. In the end all blocks are merged, as many columns at a time as one block holds
postings. A longer column is written block by block, as rows ascend from block to block.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from retrievers.stores.arrays import VectorFile

BLOCK = 1 << 20
"""Postings; sorting or merging so many takes some 60 MB."""

_NUMBER = np.dtype(np.int32)

Weigh = Callable[[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]], NDArray[Any]]
"""Terms, rows and values of postings -> their weights."""


class _Block(NamedTuple):
    """Postings put aside: how many before them, and how many they are."""

    begin: int
    size: int


class ColumnBlocks:
    """Postings in the making. A context manager.

    What is put aside is in a file without a name, 12 bytes a posting: it goes when this is left, or the process killed.
    In memory are 8 bytes a term, and 8 bytes for each pair of blocks.

    Args:
        folder: exists; the postings will be there, and what is put aside is on the same disk.
        block: postings that are merged at a time.
    """

    def __init__(self, folder: Path, *, block: int = BLOCK) -> None:
        self._folder, self._most = folder, block
        self._blocks: list[_Block] = []
        self.frequencies = np.zeros(0, dtype=np.int64)
        """int64 [highest term + 1]: rows of each term."""
        self._aside = TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__

    def add(self, terms: NDArray[Any], rows: NDArray[Any], values: NDArray[Any]) -> None:
        """Put a block aside: integers [n], each term once a row. Those of a term have ascending rows, above all before.

        Raises:
            OSError: the disk is full.
        """
        order = np.argsort(terms, kind="stable")
        for column in (terms, rows, values):
            self._aside.write(column[order].astype(_NUMBER, copy=False).data)
        self._aside.flush()  # now, so that closing has nothing to write and to fail at
        self._blocks.append(_Block(int(self.frequencies.sum()), len(terms)))
        counts = np.bincount(terms, minlength=len(self.frequencies))
        counts[: len(self.frequencies)] += self.frequencies
        self.frequencies = counts

    def write(self, weigh: Weigh) -> None:
        """Write the files of `Columns`, all but the floor. To be called once, after the last block.

        Raises:
            OSError: the disk is full, or does not give back what was put aside.
        """
        starts = np.concatenate(([0], np.cumsum(self.frequencies))).astype(np.int64)
        np.save(self._folder / "starts.npy", starts)
        with (
            VectorFile(self._folder / "impacts.npy", np.float32) as impacts,
            VectorFile(self._folder / "rows.npy", np.int32) as all_rows,
        ):
            for terms, rows, values in self._merged(bounds(starts, self._most)):
                impacts.append(weigh(terms, rows, values))
                all_rows.append(rows)

    def _merged(self, bounds: NDArray[np.int32]) -> Iterator[NDArray[np.int32]]:
        """int32 [3, n], terms, rows and values of all postings, in the order of terms, then rows."""
        cuts = [np.searchsorted(self._read(block, 0), bounds).astype(_NUMBER) for block in self._blocks]
        for step, (first, last) in enumerate(pairwise(bounds.tolist())):
            parts = (
                np.stack([self._read(block, column, *cut[step : step + 2].tolist()) for column in range(3)])
                for block, cut in zip(self._blocks, cuts, strict=True)
            )
            if last == first + 1:
                yield from parts
            else:
                together = np.concatenate(list(parts), axis=1)
                yield together[:, np.argsort(together[0], kind="stable")]

    def _read(self, block: _Block, column: int, first: int = 0, last: int | None = None) -> NDArray[np.int32]:
        """Terms (column 0), rows or values of a block, or a stretch of them."""
        last = block.size if last is None else last
        n_bytes = (last - first) * _NUMBER.itemsize
        place = 3 * block.begin + column * block.size + first
        data = os.pread(self._aside.fileno(), n_bytes, place * _NUMBER.itemsize)
        if len(data) != n_bytes:
            raise OSError(errno.EIO, f"what was put aside for '{self._folder}' cannot be read back")
        return np.frombuffer(data, _NUMBER)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._aside.close()


def bounds(starts: NDArray[np.int64], most: int) -> NDArray[np.int32]:
    """Terms that begin a stretch of at most so many postings, or of one term; and the number of terms."""
    bounds, n_terms = [0], len(starts) - 1
    while bounds[-1] < n_terms:
        last = int(np.searchsorted(starts, starts[bounds[-1]] + most, side="right")) - 1
        bounds.append(max(last, bounds[-1] + 1))
    return np.array(bounds, dtype=np.int32)
