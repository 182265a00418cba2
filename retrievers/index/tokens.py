"""Flat arrays that both lexical engines are made of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from rag.core.errors import IndexProblem
from retrievers.index.documents import load_array


class Tokens:
    """Term numbers of all documents, end to end. Iterates over documents as lists of them."""

    def __init__(self, terms: NDArray[np.int32], starts: NDArray[np.int64]) -> None:
        self.terms, self.starts = terms, starts

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __iter__(self) -> Iterator[list[int]]:
        for first, last in zip(self.starts[:-1], self.starts[1:], strict=True):
            yield self.terms[first:last].tolist()


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
