"""Arrays in .npy files: read memory-mapped, with messages that say which file is wrong; written piece by piece."""

from __future__ import annotations

import math
import re
import struct
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from rag.core.errors import IndexProblem

_HEADER = re.compile(rb"\{'descr': '([<>|]?[a-z]\d+)', 'fortran_order': (False|True), 'shape': \(([\d, ]*)\), \}\s*")
_LENGTHS = {1: "<H", 2: "<I"}
"""Version of the format -> how the length of its header is written, behind eight bytes of magic."""


class _Form(NamedTuple):
    """What the header of an .npy file says, and where its numbers begin."""

    kind: np.dtype[Any]
    shape: tuple[int, ...]
    order: Literal["C", "F"]
    begins: int


def map_npy(path: Path) -> NDArray[Any]:
    """The array of an .npy file, memory-mapped for reading. An empty one cannot be mapped, and is made.

    numpy's own `load` reads headers by Python's parser, which now and then fails where several threads open files at once.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no .npy file as `np.save` writes one, or is cut off.
    """
    with path.open("rb") as stream:
        form = _form(stream)
    if 0 in form.shape:
        return np.zeros(form.shape, form.kind)
    return np.memmap(path, dtype=form.kind, mode="r", offset=form.begins, shape=form.shape, order=form.order)


def read_npy(stream: BinaryIO) -> NDArray[Any]:
    """The array of an .npy file, in memory. Raises as `map_npy` does."""
    form = _form(stream)
    data = stream.read(form.kind.itemsize * math.prod(form.shape))
    return np.frombuffer(data, form.kind, count=math.prod(form.shape)).reshape(form.shape, order=form.order)


def _form(stream: BinaryIO) -> _Form:
    magic = stream.read(8)
    if magic[:6] != b"\x93NUMPY" or len(magic) < 8 or magic[6] not in _LENGTHS:
        raise ValueError("it is no .npy file")
    packed = _LENGTHS[magic[6]]
    size = stream.read(struct.calcsize(packed))
    length = struct.unpack(packed, size)[0] if len(size) == struct.calcsize(packed) else 0
    header = stream.read(length)
    found = _HEADER.fullmatch(header)
    if found is None or len(header) < length:
        raise ValueError(f"its header is not one that is written here: {header[:80]!r}")
    shape = tuple(int(number) for number in found[3].split(b",") if number.strip())
    return _Form(np.dtype(found[1].decode()), shape, "F" if found[2] == b"True" else "C", stream.tell())


def load_array(path: Path) -> NDArray[Any]:
    """A memory-mapped array.

    Raises:
        IndexProblem: not an npy file, or cut off.
    """
    try:
        return np.asarray(map_npy(path))
    except (OSError, ValueError) as cause:
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
