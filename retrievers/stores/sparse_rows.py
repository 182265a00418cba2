"""Weighted tokens of every row, on disk by row and turned round.

tokens.npy    int32 [n_weights], ascending within a row
weights.npy   int32 or float32 [n_weights], above 0
starts.npy    int64 [n + 1], where each row's tokens start
postings/     token -> rows (`retrievers.stores.postings`)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import IndexProblem
from retrievers.stores.arrays import load_array
from retrievers.stores.computed import Row
from retrievers.stores.postings import Columns
from retrievers.stores.ragged_writer import POSTINGS, RaggedWriter


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

    @classmethod
    def read(cls, folder: Path, *, n: int, n_weights: int, kind: type[np.int32] | type[np.float32]) -> SparseRows:
        """What `SparseWriter` wrote, memory-mapped.

        Raises:
            IndexProblem: a file is absent, cannot be read, or is not of this kind and size.
        """
        kinds: dict[str, tuple[Any, int]] = {
            "tokens": (np.int32, n_weights),
            "weights": (kind, n_weights),
            "starts": (np.int64, n + 1),
        }
        read = {name: load_array(folder / f"{name}.npy") for name in kinds}
        for name, (wanted, size) in kinds.items():
            if read[name].dtype != wanted or read[name].shape != (size,):
                raise IndexProblem(
                    f"'{folder / name}.npy' is {read[name].dtype} {list(read[name].shape)}, not {np.dtype(wanted)} [{size}]. "
                    "Build the index again"
                )
        rows = cls(**read)
        if rows.starts[0] != 0 or rows.starts[-1] != n_weights or bool(np.any(np.diff(rows.starts) < 0)):
            raise IndexProblem(f"'{folder}': its arrays do not fit together. Build the index again")
        return rows

    def postings(self, folder: Path) -> Columns:
        """Token -> rows, as `SparseWriter` wrote them, memory-mapped.

        Raises:
            IndexProblem: a file is absent, cannot be read, or does not fit.
        """
        columns = Columns.read(folder / POSTINGS)
        if len(columns.rows) != len(self.tokens):
            raise IndexProblem(f"'{folder / POSTINGS}': its arrays do not fit together. Build the index again")
        return columns

    def turned(self) -> Columns:
        """The same, made now, in memory."""
        return Columns.of_rows(self.tokens, self.weights, self.starts)


class SparseWriter(RaggedWriter):
    """Writes weighted tokens, row by row (`RaggedWriter`)."""

    def __init__(self, folder: Path, kind: type[np.int32] | type[np.float32]) -> None:
        super().__init__(folder, {"tokens": np.int32, "weights": kind}, impact=kind)
        self._kind = kind

    def add(self, rows: Sequence[Row]) -> None:
        """The next rows, one at least: their `tokens` and `weights`."""
        of = self.begin(len(row["tokens"]) for row in rows)
        tokens = np.concatenate([row["tokens"] for row in rows])
        weights = np.concatenate([row["weights"] for row in rows]).astype(self._kind, copy=False)
        self._files["tokens"].append(tokens)
        self._files["weights"].append(weights)
        self._postings.add(tokens, of, weights.view(np.int32))  # the bits of a weight, whatever its kind
