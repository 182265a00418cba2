"""Arrays in .npy files, memory-mapped, with messages that say which file is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from rag.core.errors import IndexProblem


def load_array(path: Path) -> NDArray[Any]:
    """A memory-mapped array.

    Raises:
        IndexProblem: not an npy file, or cut off.
    """
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError, EOFError) as cause:
        raise IndexProblem(f"'{path}' cannot be read: {cause}. Build the index again") from cause


def load_vector(path: Path, kind: DTypeLike) -> NDArray[Any]:
    """A memory-mapped array of one dimension.

    Raises:
        IndexProblem: not an npy file, cut off, or of another type or shape.
    """
    array = load_array(path)
    if array.dtype != kind or array.ndim != 1:
        raise IndexProblem(
            f"'{path}' is {array.dtype} {list(array.shape)}, not {np.dtype(kind)} [n]. Build the index again"
        )
    return array
