"""Bytes of what documents hold beside their text: each once, under its sha256, with a small picture of it beside it.

    contents.bin          the bytes, one after the other
    contents.keys.npy     uint8 [n, 32], their sha256, ascending
    contents.places.npy   int64 [n, 4], of each where it begins and how long it is, and the same of its thumbnail
    contents.rows.npy     int32 [m, 2], (number of a content, row of a document that holds it), ascending

There are no such files where nothing is kept. Nobody here knows what the bytes are.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import IndexProblem
from retrievers.index_protocol import ContentStore, KeepsContents
from retrievers.stores.arrays import load_array

BYTES, KEYS, PLACES, ROWS = (f"contents.{end}" for end in ("bin", "keys.npy", "places.npy", "rows.npy"))
CONTENTS = "contents."
"""How the names of these files begin."""

_HELD = b'"contents":['


class Contents:
    """Those of one folder, mapped. Safe to share between threads.

    Raises:
        IndexProblem: the files do not fit together.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / BYTES
        self._keys, self._places, self._rows = (load_array(folder / name) for name in (KEYS, PLACES, ROWS))
        n = len(self._keys)
        fitting = (
            self._keys.dtype == np.uint8
            and self._keys.shape == (n, 32)
            and self._places.shape == (n, 4)
            and self._rows.ndim == 2
            and n > 0
        )
        if not fitting:
            raise IndexProblem(f"'{self._path}' and its tables do not fit together. Build the index again")
        self._begin = _beginnings(np.asarray(self._keys))
        self._bytes = np.memmap(self._path, dtype=np.uint8, mode="r")

    @classmethod
    def of(cls, folder: Path) -> ContentStore:
        """Those of a folder; none where nothing is kept there."""
        return cls(folder) if (folder / KEYS).is_file() else NONE

    def __iter__(self) -> Iterator[str]:
        return (bytes(key).hex() for key in np.asarray(self._keys))

    def __contains__(self, sha256: object) -> bool:
        return isinstance(sha256, str) and self._number(sha256) is not None

    def read(self, sha256: str) -> bytes:
        """The bytes.

        Raises:
            KeyError: none are kept under this.
            IndexProblem: they are not as they were written.
        """
        first, n, _, _ = self._place(sha256)
        data = self._bytes[first : first + n].tobytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            raise IndexProblem(f"'{self._path}': content {sha256} is not as it was written. Build the index again")
        return data

    def thumbnail(self, sha256: str) -> bytes:
        """A small picture of it, as WebP; empty where there is none. KeyError as `read`."""
        _, _, first, n = self._place(sha256)
        return self._bytes[first : first + n].tobytes()

    def rows(self, sha256: str) -> list[int]:
        """Rows of the documents that hold it, ascending; none where nothing is kept under this."""
        number = self._number(sha256)
        if number is None:
            return []
        first, last = np.searchsorted(self._rows[:, 0], [number, number + 1])
        return [int(row) for row in self._rows[first:last, 1]]

    def _place(self, sha256: str) -> tuple[int, int, int, int]:
        number = self._number(sha256)
        if number is None:
            raise KeyError(sha256)
        first, n, small, n_small = map(int, self._places[number])
        return first, n, small, n_small

    def _number(self, sha256: str) -> int | None:
        try:
            key = bytes.fromhex(sha256)
        except ValueError:
            return None
        if len(key) != 32:
            return None
        number = int(np.searchsorted(self._begin, _beginnings(np.frombuffer(key, np.uint8)[None])[0]))
        while number < len(self._keys) and bytes(self._keys[number][:8]) == key[:8]:
            if bytes(self._keys[number]) == key:
                return number
            number += 1
        return None


class JoinedContents:
    """Those of several folders or indexes as one.

    Args:
        row: number of a part and a row there -> the row of the whole; -1 where it is gone.
    """

    def __init__(self, parts: Sequence[ContentStore], row: Callable[[int, int], int]) -> None:
        self._parts, self._row = parts, row

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(sha256 for part in self._parts for sha256 in part))

    def __contains__(self, sha256: object) -> bool:
        return any(sha256 in part for part in self._parts)

    def read(self, sha256: str) -> bytes:
        """The bytes, of the first part that has them; KeyError as `Contents.read`."""
        return self._with(sha256).read(sha256)

    def thumbnail(self, sha256: str) -> bytes:
        """As `Contents.thumbnail`."""
        return self._with(sha256).thumbnail(sha256)

    def rows(self, sha256: str) -> list[int]:
        """Rows of the whole that hold it and are left."""
        found = (self._row(number, own) for number, part in enumerate(self._parts) for own in part.rows(sha256))
        return [row for row in found if row >= 0]

    def _with(self, sha256: str) -> ContentStore:
        for part in self._parts:
            if sha256 in part:
                return part
        raise KeyError(sha256)


NONE: ContentStore = JoinedContents((), lambda part, row: row)


def contents_of(index: object) -> ContentStore:
    """What an index keeps; nothing where it is of a kind that keeps none."""
    return index.contents if isinstance(index, KeepsContents) else NONE


class ContentsWriter:
    """Writes them beside documents that are written. Nothing is written where nothing is kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stream: BinaryIO | None = None
        self._places: dict[str, tuple[int, int, int, int]] = {}
        self._since: dict[str, int] = {}
        self._rows: list[tuple[str, int]] = []

    def keep(self, sha256: str, data: bytes, thumbnail: bytes, *, row: int) -> None:
        """Keep bytes, unless they are kept. `row`: of the document that is written next."""
        if sha256 in self._places:
            return
        if self._stream is None:
            self._stream = (self._folder / BYTES).open("x+b", buffering=1 << 20)
        first = self._stream.tell()
        self._stream.write(data)
        self._stream.write(thumbnail)
        self._places[sha256] = first, len(data), first + len(data), len(thumbnail)
        self._since[sha256] = row

    def read(self, sha256: str) -> bytes:
        """The bytes that are kept under this so far; KeyError where there are none."""
        first, n, _, _ = self._places[sha256]
        assert self._stream is not None
        self._stream.flush()
        return os.pread(self._stream.fileno(), n, first)

    def held_by(self, row: int, sha256: str) -> None:
        """A document holds it, if it is kept."""
        if sha256 in self._places and (not self._rows or self._rows[-1] != (sha256, row)):
            self._rows.append((sha256, row))

    def copied(self, row: int, line: bytes, store: ContentStore) -> None:
        """Keep what the stored line of a document names and `store` has."""
        for each in json.loads(line)["contents"] if _HELD in line else ():
            if (sha256 := each["sha256"]) in store:
                if sha256 not in self._places:
                    self.keep(sha256, store.read(sha256), store.thumbnail(sha256), row=row)
                self.held_by(row, sha256)

    def cut(self, n: int) -> None:
        """Take back all that came for documents from row `n` on."""
        self._rows = [pair for pair in self._rows if pair[1] < n]
        gone = [sha256 for sha256, row in self._since.items() if row >= n]
        if gone and self._stream is not None:
            self._stream.seek(min(self._places[sha256][0] for sha256 in gone))
            self._stream.truncate()
        for sha256 in gone:
            del self._places[sha256], self._since[sha256]

    def close(self, *, whole: bool) -> None:
        """End it. `whole`: write the tables too."""
        if self._stream is None:
            return
        self._stream.close()
        if not self._places:
            (self._folder / BYTES).unlink()
        elif whole:
            keys = sorted(self._places)
            numbers = {sha256: number for number, sha256 in enumerate(keys)}
            held = sorted({(numbers[sha256], row) for sha256, row in self._rows})
            np.save(self._folder / KEYS, np.frombuffer(bytes.fromhex("".join(keys)), np.uint8).reshape(-1, 32))
            np.save(self._folder / PLACES, np.array([self._places[key] for key in keys], dtype=np.int64))
            np.save(self._folder / ROWS, np.array(held, dtype=np.int32).reshape(-1, 2))


def _beginnings(keys: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """uint64 [n]: the first eight bytes of each key, in an order that is theirs."""
    return np.ascontiguousarray(keys[:, :8]).view(">u8").ravel().astype(np.uint64)
