"""The promptreps leg of an index: a chat model's vector and weighted tokens of every unit, on disk by row.

dense.npy    float32 [n, dim], unit norm
tokens.npy   int32 [n_weights], ascending within a unit
weights.npy  int32 [n_weights], above 0
starts.npy   int64 [n + 1], where each unit's tokens start
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
from retrievers.index.documents import load_array
from retrievers.index.reserved import reserved_array
from retrievers.promptreps_encoder import Representations
from retrievers.promptreps_store import One

_KINDS = {"dense": np.float32, "tokens": np.int32, "weights": np.int32, "starts": np.int64}


def write_leg(ones: Iterable[One], folder: Path, *, n: int) -> dict[str, Any]:
    """Write the representations of `n` units, one at least, in row order, and return the leg's facts."""
    rows = iter(ones)
    first = next(rows)
    dense = reserved_array(folder / "dense.npy", (n, len(first[0])))
    tokens, weights, starts = array("i"), array("i"), array("q", [0])
    for row, (vector, its_tokens, its_weights) in enumerate(chain([first], rows)):
        dense[row] = vector
        tokens.extend(its_tokens.tolist())
        weights.extend(its_weights.tolist())
        starts.append(len(tokens))
    dense.flush()
    for name, values in (("tokens", tokens), ("weights", weights), ("starts", starts)):
        np.save(folder / f"{name}.npy", np.array(values, dtype=_KINDS[name]))
    return {"rows": n, "dim": len(first[0]), "n_weights": len(tokens)}


def open_leg(folder: Path, facts: Mapping[str, Any]) -> Representations:
    """What `write_leg` wrote, memory-mapped.

    Raises:
        IndexProblem: a file is absent, cannot be read, or is not what `facts` say.
    """
    dense, tokens, weights, starts = (_load(folder / f"{name}.npy") for name in _KINDS)
    made = Representations(dense=dense, tokens=tokens, weights=weights, starts=starts)
    n, size = facts.get("rows"), facts.get("n_weights")
    shapes = {"dense": (n, facts.get("dim")), "tokens": (size,), "weights": (size,), "starts": (int(n or 0) + 1,)}
    for name, kind in _KINDS.items():
        found = getattr(made, name)
        if found.dtype != kind or found.shape != shapes[name]:
            raise IndexProblem(
                f"'{folder / name}.npy' is {found.dtype} {list(found.shape)}, not {np.dtype(kind)} "
                f"{list(shapes[name])}. Build the index again"
            )
    if made.starts[0] != 0 or made.starts[-1] != size or bool(np.any(np.diff(made.starts) < 0)):
        raise IndexProblem(f"'{folder}': its arrays do not fit together. Build the index again")
    return made


def _load(file: Path) -> NDArray[Any]:
    """Mapped, unless it is empty: then there is nothing to map."""
    try:
        return load_array(file)
    except IndexProblem:
        whole: NDArray[Any] = np.load(file, allow_pickle=False)
        if whole.size:
            raise
        return whole
