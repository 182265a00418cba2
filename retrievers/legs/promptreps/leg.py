"""The promptreps leg of an index: a chat model's vector and weighted tokens of every unit, on disk by row.

dense.npy    float32 [n, dim], unit norm
tokens.npy, weights.npy, starts.npy, postings/    weighted tokens, whole numbers (`retrievers.stores.sparse_rows`)

Indexes of before have no postings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from rag.core.errors import IndexProblem
from retrievers.legs.promptreps.encoder import Representations
from retrievers.stores.arrays import load_array
from retrievers.stores.computed import Row
from retrievers.stores.postings import Columns
from retrievers.stores.reserved import reserved_array
from retrievers.stores.sparse_rows import SparseRows, SparseWriter, read_postings, read_rows

_TOGETHER = 1024
"""Units whose postings are put aside together; the words of a unit are some tens."""


def write_leg(units: Iterable[Row], folder: Path, *, n: int) -> dict[str, Any]:
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


def open_postings(folder: Path, facts: Mapping[str, Any], units: Representations) -> Columns:
    """Token -> units, memory-mapped; made now, in memory, of an index that has none.

    Raises:
        IndexProblem: a file is absent, cannot be read, or does not fit.
    """
    if not facts.get("postings"):
        return Columns.of_rows(units.tokens, units.weights, units.starts)
    return read_postings(folder, SparseRows(tokens=units.tokens, weights=units.weights, starts=units.starts))


def open_leg(folder: Path, facts: Mapping[str, Any]) -> Representations:
    """What `write_leg` wrote, memory-mapped.

    Raises:
        IndexProblem: a file is absent, cannot be read, or is not what `facts` say.
    """
    n, dim = int(facts.get("rows") or 0), facts.get("dim")
    rows = read_rows(folder, n=n, n_weights=int(facts.get("n_weights") or 0), kind=np.int32)
    dense = load_array(folder / "dense.npy")
    if dense.dtype != np.float32 or dense.shape != (n, dim):
        raise IndexProblem(
            f"'{folder / 'dense.npy'}' is {dense.dtype} {list(dense.shape)}, not float32 {[n, dim]}. Build the index again"
        )
    return Representations(dense=dense, tokens=rows.tokens, weights=rows.weights, starts=rows.starts)
