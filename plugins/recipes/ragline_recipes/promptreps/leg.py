"""The promptreps leg of an index: a chat model's vector and weighted tokens of every unit, on disk by row.

dense.npy    float32 [n, dim], unit norm
tokens.npy, weights.npy, starts.npy, postings/    weighted tokens, whole numbers (`rag.indexes.SparseRows`)

Indexes of before have no postings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.errors import IndexProblem
from rag.indexes import ModelLeg, Opening, SparseRows, SparseWriter, Sums, load_array, reserved_array, tied
from rag.types import Where
from ragline_recipes.promptreps.encoder import PromptRepsEncoder, Representations

Best = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Rows, ascending, and their scores: the k best, and all that tie with the last of them."""

_TOGETHER = 1024
"""Units whose postings are put aside together; the words of a unit are some tens."""


def write_leg(units: Iterable[Mapping[str, NDArray[Any]]], folder: Path, *, n: int) -> dict[str, Any]:
    """Write the representations of `n` units, one at least, in row order, and return the leg's facts."""
    rows = iter(units)
    first = next(rows)
    dim = len(first["dense"])
    dense = reserved_array(folder / "dense.npy", (n, dim))
    with SparseWriter(folder, np.int32) as sparse:
        left, begin = chain([first], rows), 0
        while block := list(islice(left, _TOGETHER)):
            for place, row in enumerate(block, start=begin):
                dense[place] = row["dense"]
            sparse.add(block)
            begin += len(block)
    dense.flush()
    return {"rows": n, "dim": dim, "n_weights": sparse.n_values, "postings": True}


def open_leg(folder: Path, facts: Mapping[str, Any]) -> Representations:
    """What `write_leg` wrote, memory-mapped.

    Raises:
        IndexProblem: a file is absent, cannot be read, or is not what `facts` say.
    """
    n, dim = int(facts.get("rows") or 0), facts.get("dim")
    words = SparseRows.read(folder, n=n, n_weights=int(facts.get("n_weights") or 0), kind=np.int32)
    dense = load_array(folder / "dense.npy")
    if dense.dtype != np.float32 or dense.shape != (n, dim):
        raise IndexProblem(
            f"'{folder / 'dense.npy'}' is {dense.dtype} {list(dense.shape)}, not float32 {[n, dim]}. Build the index again"
        )
    return Representations(dense=dense, words=words)


class PromptRepsLeg(ModelLeg[PromptRepsEncoder]):
    """Over all parts of an index. Safe to share between threads."""

    def __init__(self, opening: Opening) -> None:
        super().__init__(opening.facts, opening.mask, made_by=PromptRepsEncoder.from_description)
        self._rows = opening.rows
        self.units = [open_leg(folder, facts) for folder, facts in opening.parts]
        self._sums = [_sums(*part, units) for part, units in zip(opening.parts, self.units, strict=True)]

    def row(self, place: int) -> Mapping[str, NDArray[Any]]:
        """The representation of a unit, by name."""
        part, own = (0, place) if self._rows is None else self._rows.own(place)
        return self.units[part].row(own)

    def nearest(self, vector: NDArray[np.float32], *, k: int, where: Where | None = None) -> Best:
        """By inner product with the units' vectors."""
        # Row by row, for a product of matrices may give equal rows other bits, and then doc_id does not decide.
        scores = self._of_all([np.vecdot(units.dense, vector) for units in self.units]).astype(np.float64)
        return self._best(scores, k, where)

    def sharing(self, weights: Mapping[int, int], *, k: int, where: Where | None = None) -> Best:
        """By the sum over shared tokens of the product of weights; who shares none is no hit.

        Args:
            weights: of the query, by token.
        """
        scores = self._of_all([sums.of(weights) for sums in self._sums])
        return self._best(np.where(scores > 0, scores, -np.inf), k, where)

    def warm_up(self) -> None:
        """Load the model."""
        self.encoder.encode(["warm"], role="query")

    def _of_all(self, values: list[NDArray[Any]]) -> NDArray[Any]:
        """Of each part by row -> by row of the index."""
        return values[0] if self._rows is None else self._rows.joined(values)

    def _best(self, scores: NDArray[np.float64], k: int, where: Where | None) -> Best:
        mask = self._mask(where)
        rows = tied(scores if mask is None else np.where(mask, scores, -np.inf), k)
        return rows, scores[rows]


def _sums(folder: Path, facts: Mapping[str, Any], units: Representations) -> Sums:
    """Over the postings, which are made now, in memory, of an index that has none.

    Raises:
        IndexProblem: a file is absent, cannot be read, or does not fit.
    """
    columns = units.words.postings(folder) if facts.get("postings") else units.words.turned()
    return Sums(columns, n_docs=len(units.dense))
