"""Arrays in .npy files: read memory-mapped, with messages that say which file is wrong; written piece by piece."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

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


class VectorFile:
    """A .npy file of one dimension, written piece by piece: byte for byte what `np.save` writes of the whole.

    A context manager. Its length is filled in when it is left without an exception: until then it reads as empty.
    """

    def __init__(self, path: Path, kind: DTypeLike) -> None:
        self._kind, self._length = np.dtype(kind), 0
        self._stream = path.open("xb")
        self._write_header()

    def append(self, values: NDArray[Any]) -> None:
        """Write the next values.

        Raises:
            OSError: the disk is full.
        """
        self._stream.write(np.ascontiguousarray(values, dtype=self._kind).data)
        self._length += len(values)

    def _write_header(self) -> None:
        """numpy pads headers such that any length fits into the same place."""
        shape = {"descr": self._kind.str, "fortran_order": False, "shape": (self._length,)}
        np.lib.format.write_array_header_1_0(self._stream, shape)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._stream:
            if kind is None:
                self._stream.seek(0)
                self._write_header()
