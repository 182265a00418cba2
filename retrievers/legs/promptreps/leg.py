"""The promptreps leg of an index: a chat model's vector and weighted tokens of every unit, on disk by row.

dense.npy    float32 [n, dim], unit norm
tokens.npy   int32 [n_weights], ascending within a unit
weights.npy  int32 [n_weights], above 0
starts.npy   int64 [n + 1], where each unit's tokens start
postings/    the tokens turned round, token -> units (`retrievers.stores.postings`); indexes of before have none
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import IndexProblem
from retrievers.legs.promptreps.encoder import Representations
from retrievers.stores.arrays import VectorFile, load_array
from retrievers.stores.column_blocks import ColumnBlocks
from retrievers.stores.computed import Row
from retrievers.stores.postings import Columns
from retrievers.stores.reserved import reserved_array

_POSTINGS = "postings"
_TOGETHER = 1024
"""Units whose postings are put aside together; the words of a unit are some tens."""

_KINDS = {"dense": np.float32, "tokens": np.int32, "weights": np.int32, "starts": np.int64}


def write_leg(units: Iterable[Row], folder: Path, *, n: int) -> dict[str, Any]:
    """Write the representations of `n` units, one at least, in row order, and return the leg's facts."""
    rows = iter(units)
    first = next(rows)
    dim = len(first["dense"])
    dense = reserved_array(folder / "dense.npy", (n, dim))
    starts = array("q", [0])
    (folder / _POSTINGS).mkdir()
    with (
        VectorFile(folder / "tokens.npy", np.int32) as all_tokens,
        VectorFile(folder / "weights.npy", np.int32) as all_weights,
        ColumnBlocks(folder / _POSTINGS) as postings,
    ):
        left = chain([first], rows)
        while block := list(islice(left, _TOGETHER)):
            begin = len(starts) - 1
            for place, row in enumerate(block, start=begin):
                dense[place] = row["dense"]
                starts.append(starts[-1] + len(row["tokens"]))
            tokens, weights = (np.concatenate([row[name] for row in block]) for name in ("tokens", "weights"))
            all_tokens.append(tokens)
            all_weights.append(weights)
            postings.add(tokens, np.repeat(np.arange(begin, len(starts) - 1), np.diff(starts[begin:])), weights)
        postings.write(lambda _terms, _rows, weights: weights)
    dense.flush()
    np.save(folder / "starts.npy", np.array(starts, dtype=np.int64))
    return {"rows": n, "dim": dim, "n_weights": starts[-1], "postings": True}


def open_postings(folder: Path, facts: Mapping[str, Any], units: Representations) -> Columns:
    """Token -> units, memory-mapped; made now, in memory, of an index that has none.

    Raises:
        IndexProblem: a file is absent, cannot be read, or does not fit.
    """
    if not facts.get("postings"):
        return Columns.of_rows(units.tokens, units.weights, units.starts)
    columns = Columns.read(folder / _POSTINGS)
    if len(columns.rows) != len(units.tokens):
        raise IndexProblem(f"'{folder / _POSTINGS}': its arrays do not fit together. Build the index again")
    return columns


def open_leg(folder: Path, facts: Mapping[str, Any]) -> Representations:
    """What `write_leg` wrote, memory-mapped.

    Raises:
        IndexProblem: a file is absent, cannot be read, or is not what `facts` say.
    """
    dense, tokens, weights, starts = (_load(folder / f"{name}.npy") for name in _KINDS)
    units = Representations(dense=dense, tokens=tokens, weights=weights, starts=starts)
    n, size = facts.get("rows"), facts.get("n_weights")
    shapes = {"dense": (n, facts.get("dim")), "tokens": (size,), "weights": (size,), "starts": (int(n or 0) + 1,)}
    for name, kind in _KINDS.items():
        values = getattr(units, name)
        if values.dtype != kind or values.shape != shapes[name]:
            raise IndexProblem(
                f"'{folder / name}.npy' is {values.dtype} {list(values.shape)}, not {np.dtype(kind)} "
                f"{list(shapes[name])}. Build the index again"
            )
    if units.starts[0] != 0 or units.starts[-1] != size or bool(np.any(np.diff(units.starts) < 0)):
        raise IndexProblem(f"'{folder}': its arrays do not fit together. Build the index again")
    return units


def _load(file: Path) -> NDArray[Any]:
    """Mapped, unless it is empty: then there is nothing to map."""
    try:
        return load_array(file)
    except IndexProblem:
        whole: NDArray[Any] = np.load(file, allow_pickle=False)
        if whole.size:
            raise
        return whole
