"""What was computed of texts, found again by the texts' content: vectors, weighted words, rows of any length.

A block is a file in a work folder, named by all that computed it and by its content. It is written whole or not at all,
so that a killed build goes on where it stopped; a damaged block is removed. What it holds is found by text, so it serves
a later build whatever else that build has to compute. Blocks are written as plain files, never through a map: a full
disk is an OSError.

    one line of JSON   {"digests": [dtype, shape, offset], column: [dtype, shape, offset], ...}
    arrays             each at a multiple of 64 bytes; a ragged column has a second one, "COLUMN.starts"
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.core.contents import digest_of as digest_of
from rag.core.progress import Progress, silent

_ALIGN = 64
_LARGEST_HEADER_BYTES = 1 << 16
_UNFINISHED = ".unfinished"
_STARTS = ".starts"

Row = Mapping[str, NDArray[Any]]
"""Of one text: its part of each column."""


@dataclass(frozen=True, slots=True)
class Ragged:
    """A column whose rows differ in length: row i is `values[starts[i] : starts[i + 1]]`."""

    values: NDArray[Any]
    starts: NDArray[np.int64]


Columns = Mapping[str, "NDArray[Any] | Ragged"]
"""Of several texts. A plain array has a row per text along its first axis."""

Compute = Callable[[list[str]], Columns]
"""A block of texts -> what is computed of them."""

Apply = Callable[[Compute, Iterable[list[str]]], Iterable[Columns]]
"""How a block after the other is computed: as `map` does, or so that the same comes in the same order."""


def in_this_process(compute: Compute, blocks: Iterable[list[str]]) -> Iterable[Columns]:
    """Each block when it is asked for."""
    return map(compute, blocks)


class Computed:
    """Rows by the digest of their text, from the finished blocks of a folder. One process at a time.

    In memory: about 300 bytes per text, and the pages of blocks that were touched last.

    Args:
        made_by: all that decides what is computed of a text. Blocks of another maker are not looked at.
    """

    def __init__(self, folder: Path, *, made_by: Mapping[str, object]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._made_by = hashlib.sha256(json.dumps(made_by, sort_keys=True).encode()).hexdigest()[:16]
        self._places: dict[bytes, tuple[dict[str, NDArray[Any]], int]] = {}
        for leftover in folder.glob(f"*{_UNFINISHED}"):
            leftover.unlink()
        for file in sorted(folder.glob(f"{self._made_by}-*.block")):
            self._take(file)

    def __contains__(self, digest: object) -> bool:
        return digest in self._places

    def __getitem__(self, digest: bytes) -> Row:
        block, place = self._places[digest]
        return {name: _part(block, name, place) for name in block if not name.endswith(_STARTS)}

    def add(self, digests: Sequence[bytes], columns: Columns) -> None:
        """Keep a block, whole or not at all.

        Raises:
            OSError: it could not be written, or is not read back as it was.
        """
        content, digest = _packed(digests, columns), hashlib.sha256()
        for part in content:
            digest.update(part)
        file = self._folder / f"{self._made_by}-{digest.hexdigest()}.block"
        unfinished = file.with_suffix(_UNFINISHED)
        try:
            with unfinished.open("wb") as stream:
                stream.writelines(content)
        except OSError:
            unfinished.unlink(missing_ok=True)  # what fitted of it would only take room
            raise
        os.replace(unfinished, file)
        if not self._take(file):
            raise OSError(f"'{file}' does not read back as it was written")

    def complete(
        self,
        texts: Sequence[str],
        compute: Compute,
        *,
        block: int,
        apply: Apply = in_this_process,
        known: Callable[[bytes], bool] = lambda digest: False,
        step: str,
        progress: Progress = silent,
    ) -> tuple[list[bytes], int]:
        """Compute what is neither here nor known elsewhere, each different text once, and keep it block by block.

        Args:
            block: texts of a block: what a killed build loses at most, or several where `apply` works ahead.
            known: whether a digest's row is had from elsewhere.
            progress: called as (step, texts done, texts in all).
        Returns:
            The digest of every text, in order, and how many texts were computed.
        """
        if block < 1:
            raise ValueError(f"{step}: a block holds at least 1 text, got {block}")
        digests = [digest_of(text) for text in texts]
        first_row = {digest: row for row, digest in reversed(list(enumerate(digests)))}
        missing = sorted(row for digest, row in first_row.items() if digest not in self and not known(digest))
        done = len(texts) - len(missing)
        if done:
            progress(step, done, len(texts))
        blocks = [missing[start : start + block] for start in range(0, len(missing), block)]
        for rows, columns in zip(
            blocks, apply(compute, ([texts[row] for row in rows] for rows in blocks)), strict=True
        ):
            self.add([digests[row] for row in rows], columns)
            done += len(rows)
            progress(step, done, len(texts))
        return digests, len(missing)

    def _take(self, file: Path) -> bool:
        """Use a block, or remove it if it is not what its name says. Whether it is used."""
        block = _read(file)
        if block is None:
            file.unlink()
            return False
        self._places |= {digest.tobytes(): (block, place) for place, digest in enumerate(block.pop("digests"))}
        return True


def _part(block: Mapping[str, NDArray[Any]], name: str, place: int) -> NDArray[Any]:
    starts = block.get(name + _STARTS)
    part: NDArray[Any] = block[name][place] if starts is None else block[name][starts[place] : starts[place + 1]]
    return part


def _packed(digests: Sequence[bytes], columns: Columns) -> list[bytes | memoryview]:
    """The bytes of a block, one part after the other: nothing is copied that need not be."""
    arrays: dict[str, NDArray[Any]] = {"digests": np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(-1, 32)}
    for name, column in columns.items():
        if isinstance(column, Ragged):
            arrays |= {name: column.values, name + _STARTS: column.starts}
        else:
            arrays[name] = column
    header: dict[str, tuple[str, list[int], int]] = {}
    parts, size = list[bytes | memoryview](), 0
    for name, array in arrays.items():
        size += (room := -size % _ALIGN)
        header[name] = array.dtype.str, list(array.shape), size
        parts += [bytes(room), np.ascontiguousarray(array).reshape(-1).view(np.uint8).data]
        size += array.nbytes
    line = json.dumps(header).encode() + b"\n"
    return [line.rjust(-(-len(line) // _ALIGN) * _ALIGN), *parts]


def _read(file: Path) -> dict[str, NDArray[Any]] | None:
    """The arrays of a block, memory-mapped; None if the file is not what its name says."""
    try:
        content: NDArray[np.uint8] = np.memmap(file, dtype=np.uint8, mode="r")
    except (OSError, ValueError):  # an empty file cannot be mapped
        return None
    if hashlib.sha256(content.data).hexdigest() != file.stem.partition("-")[2]:
        return None
    line, _, _ = bytes(content[:_LARGEST_HEADER_BYTES]).partition(b"\n")
    body = content[len(line) + 1 :]
    arrays = {}
    for name, (kind, shape, offset) in json.loads(line).items():
        n_bytes = int(np.prod(shape)) * np.dtype(kind).itemsize
        arrays[name] = body[offset : offset + n_bytes].view(kind).reshape(shape)
    return arrays
