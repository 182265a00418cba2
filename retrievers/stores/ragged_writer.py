"""Rows of any length, written one after the other, and turned round: what stores of terms and of tokens share on disk.

starts.npy    int64 [n + 1], where each row starts
NAME.npy      the values of all rows, a file for each column
postings/     number -> rows (`retrievers.stores.postings`)
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from retrievers.stores.arrays import VectorFile
from retrievers.stores.column_blocks import ColumnBlocks

POSTINGS = "postings"


class RaggedWriter:
    """Writes into a folder that exists. A context manager; what it wrote is whole once it is left without an error.

    Args:
        columns: name -> type of its values.
        impact: type that the numbers beside rows in the postings are the bits of.
    Raises:
        OSError: the disk is full.
    """

    def __init__(self, folder: Path, columns: Mapping[str, Any], *, impact: Any) -> None:
        self._folder, self._columns, self._impact = folder, columns, impact
        self._starts = array("q", [0])
        self._open = ExitStack()

    def __enter__(self) -> Self:
        (self._folder / POSTINGS).mkdir()
        self._files = {
            name: self._open.enter_context(VectorFile(self._folder / f"{name}.npy", kind))
            for name, kind in self._columns.items()
        }
        self._postings = self._open.enter_context(ColumnBlocks(self._folder / POSTINGS))
        return self

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        if kind is not None:
            self._open.__exit__(kind, value, trace)
            return
        with self._open:
            self._postings.write(lambda _numbers, _rows, bits: bits.view(self._impact))
            np.save(self._folder / "starts.npy", np.array(self._starts, dtype=np.int64))

    @property
    def n_values(self) -> int:
        """Values so far, of all rows."""
        return self._starts[-1]

    def begin(self, sizes: Iterable[int]) -> NDArray[np.int64]:
        """Note the next rows by their sizes. Gives the row of each of their values."""
        first = len(self._starts) - 1
        for size in sizes:
            self._starts.append(self._starts[-1] + size)
        return np.repeat(np.arange(first, len(self._starts) - 1), np.diff(self._starts[first:]))
