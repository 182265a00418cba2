"""Weighted tokens of every row, on disk by row and turned round.

tokens.npy    int32 [n_weights], ascending within a row
weights.npy   int32 or float32 [n_weights], above 0
starts.npy    int64 [n + 1], where each row's tokens start
postings/     token -> rows (`retrievers.stores.postings`)
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import IndexProblem
from retrievers.stores.arrays import VectorFile, load_array
from retrievers.stores.column_blocks import ColumnBlocks
from retrievers.stores.computed import Row
from retrievers.stores.postings import Columns

POSTINGS = "postings"


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseRows:
    """Row i has the tokens and weights from `starts[i]` to `starts[i + 1]`; tokens ascend, weights are above 0."""

    tokens: NDArray[np.int32]
    weights: NDArray[Any]
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts) - 1

    def row(self, place: int) -> Row:
        """One row's part, by name."""
        span = slice(int(self.starts[place]), int(self.starts[place + 1]))
        return {"tokens": self.tokens[span], "weights": self.weights[span]}


class SparseWriter:
    """Writes rows into a folder that exists. A context manager; what it wrote is whole once it is left without an error.

    Raises:
        OSError: the disk is full.
    """

    def __init__(self, folder: Path, kind: type[np.int32] | type[np.float32]) -> None:
        self._folder, self._kind = folder, kind
        self._starts = array("q", [0])
        self._open = ExitStack()

    def __enter__(self) -> Self:
        (self._folder / POSTINGS).mkdir()
        self._tokens = self._open.enter_context(VectorFile(self._folder / "tokens.npy", np.int32))
        self._weights = self._open.enter_context(VectorFile(self._folder / "weights.npy", self._kind))
        self._postings = self._open.enter_context(ColumnBlocks(self._folder / POSTINGS))
        return self

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        if kind is not None:
            self._open.__exit__(kind, value, trace)
            return
        with self._open:
            self._postings.write(lambda _tokens, _rows, values: values.view(self._kind))
            np.save(self._folder / "starts.npy", np.array(self._starts, dtype=np.int64))

    @property
    def n_weights(self) -> int:
        """Weights so far."""
        return self._starts[-1]

    def add(self, rows: Sequence[Row]) -> None:
        """The next rows, one at least: their `tokens` and `weights`."""
        begin = len(self._starts) - 1
        for row in rows:
            self._starts.append(self._starts[-1] + len(row["tokens"]))
        tokens = np.concatenate([row["tokens"] for row in rows])
        weights = np.concatenate([row["weights"] for row in rows]).astype(self._kind, copy=False)
        self._tokens.append(tokens)
        self._weights.append(weights)
        of = np.repeat(np.arange(begin, len(self._starts) - 1), np.diff(self._starts[begin:]))
        self._postings.add(tokens, of, weights.view(np.int32))  # the bits of a weight, whatever its kind


def read_rows(folder: Path, *, n: int, n_weights: int, kind: type[np.int32] | type[np.float32]) -> SparseRows:
    """What `SparseWriter` wrote, memory-mapped.

    Raises:
        IndexProblem: a file is absent, cannot be read, or is not of this kind and size.
    """
    kinds: dict[str, tuple[Any, int]] = {
        "tokens": (np.int32, n_weights),
        "weights": (kind, n_weights),
        "starts": (np.int64, n + 1),
    }
    read = {name: load_column(folder / f"{name}.npy") for name in kinds}
    for name, (wanted, size) in kinds.items():
        if read[name].dtype != wanted or read[name].shape != (size,):
            raise IndexProblem(
                f"'{folder / name}.npy' is {read[name].dtype} {list(read[name].shape)}, not {np.dtype(wanted)} [{size}]. "
                "Build the index again"
            )
    rows = SparseRows(**read)
    if rows.starts[0] != 0 or rows.starts[-1] != n_weights or bool(np.any(np.diff(rows.starts) < 0)):
        raise IndexProblem(f"'{folder}': its arrays do not fit together. Build the index again")
    return rows


def read_postings(folder: Path, rows: SparseRows) -> Columns:
    """Token -> rows, memory-mapped.

    Raises:
        IndexProblem: a file is absent, cannot be read, or does not fit.
    """
    columns = Columns.read(folder / POSTINGS)
    if len(columns.rows) != len(rows.tokens):
        raise IndexProblem(f"'{folder / POSTINGS}': its arrays do not fit together. Build the index again")
    return columns


def load_column(file: Path) -> NDArray[Any]:
    """Mapped, unless it is empty: then there is nothing to map."""
    try:
        return load_array(file)
    except IndexProblem:
        whole: NDArray[Any] = np.load(file, allow_pickle=False)
        if whole.size:
            raise
        return whole
