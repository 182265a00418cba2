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
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import IndexProblem
from retrievers.legs.promptreps.encoder import Representations
from retrievers.stores.arrays import load_array
from retrievers.stores.computed import Row
from retrievers.stores.postings import Columns
from retrievers.stores.reserved import reserved_array

_POSTINGS = "postings"
_KINDS = {"dense": np.float32, "tokens": np.int32, "weights": np.int32, "starts": np.int64}


def write_leg(units: Iterable[Row], folder: Path, *, n: int) -> dict[str, Any]:
    """Write the representations of `n` units, one at least, in row order, and return the leg's facts."""
    rows = iter(units)
    first = next(rows)
    dim = len(first["dense"])
    dense = reserved_array(folder / "dense.npy", (n, dim))
    tokens, weights, starts = array("i"), array("i"), array("q", [0])
    for place, row in enumerate(chain([first], rows)):
        dense[place] = row["dense"]
        tokens.extend(row["tokens"].tolist())
        weights.extend(row["weights"].tolist())
        starts.append(len(tokens))
    dense.flush()
    flat = {"tokens": tokens, "weights": weights, "starts": starts}
    arrays = {name: np.array(values, dtype=_KINDS[name]) for name, values in flat.items()}
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)
    (folder / _POSTINGS).mkdir()
    Columns.of_rows(arrays["tokens"], arrays["weights"], arrays["starts"]).write(folder / _POSTINGS)
    return {"rows": n, "dim": dim, "n_weights": len(tokens), "postings": True}


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
