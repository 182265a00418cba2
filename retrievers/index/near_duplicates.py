"""Units that say nearly the same: which they are is known when an index is built, and kept beside its documents.

    duplicates.npy        int32 [m, 2], (row, first row of its group) of every unit in a group, rows ascending
    duplicates_keys.npy   uint32 [n, 16], what units are looked up by: those of parts that are joined need no second reading

There is no first file where there are none. Nothing is left out of an index.

Two units are near-duplicates where at least `LEAST` of all their three-word runs are in both (Jaccard; Broder 1997). Candidates
come from one-permutation MinHash (Li, Owen and Zhang, NIPS 2012), a pass over the words of a unit; every candidate is
then compared exactly, so a wrong one costs time and is never folded. datasketch's MinHash asks for 128 hash functions a
run where this asks for one; simhash (Charikar 2002) within 3 of its 64 bits is for texts of cosine 0.99 and more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import IndexProblem
from rag.core.types import Document, Where
from retrievers.stores.arrays import load_array

DUPLICATES, KEYS = "duplicates.npy", "duplicates_keys.npy"
LEAST = 0.8
_RUN = 3
_BANDS, _PER_BAND = 16, 4  # two units of Jaccard 0.8 meet in some band with probability 0.9998, of 0.5 with 0.64
_BINS = _BANDS * _PER_BAND
_EMPTY = np.uint64(2**64 - 1)
_COMPARED = 3  # units before it in a band that a unit is compared with: boilerplate is not quadratic
_WORD = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|\\w+")
_ASCII_WORD = re.compile("\\w+", re.ASCII)
_MIX = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], dtype=np.uint64)

Pairs = NDArray[np.int32]
Keys = NDArray[np.uint32]


class NearDuplicates:
    """The groups of an index. `pairs`: as `near_duplicates` gives them."""

    def __init__(self, pairs: Pairs) -> None:
        self._rows, self._firsts = pairs[:, 0], pairs[:, 1]
        self._order = np.argsort(self._firsts, kind="stable")
        self._sorted = self._firsts[self._order]

    @classmethod
    def read(cls, path: Path) -> NearDuplicates:
        """Those in a file.

        Raises:
            IndexProblem: it is not such a file.
        """
        pairs = load_array(path)
        if pairs.dtype != np.int32 or pairs.ndim != 2 or pairs.shape[1] != 2:
            raise IndexProblem(
                f"'{path}' is {pairs.dtype} {list(pairs.shape)}, not int32 [n, 2]. Build the index again"
            )
        return cls(pairs)

    @property
    def n_bytes(self) -> int:
        """In memory, with what an object takes that holds nothing."""
        return 500 + 20 * len(self)

    def __len__(self) -> int:
        """Units that are in a group."""
        return len(self._rows)

    def group(self, row: int) -> list[int]:
        """Rows of the group of a unit, ascending, its own among them; empty where it is in none."""
        place = int(np.searchsorted(self._rows, row))
        if place == len(self) or self._rows[place] != row:
            return []
        first, last = np.searchsorted(self._sorted, [self._firsts[place], self._firsts[place] + 1])
        return [int(each) for each in self._rows[self._order[first:last]]]

    @classmethod
    def none(cls) -> NearDuplicates:
        """Those of an index where nothing is known."""
        return cls(np.empty((0, 2), np.int32))


@runtime_checkable
class KnowsDuplicates(Protocol):
    """An index that knows which of its documents say nearly the same."""

    def near_duplicates(self, where: Where | None = None) -> NearDuplicates:
        """Of all documents; where whoever asks has statistics of their own, of those that they may read."""
        ...


def write_duplicates(folder: Path, documents: Sequence[Document], keys: Keys | None = None) -> int:
    """Write the files. Returns how many units are in a group. `keys`: of these documents, where they are known."""
    keys = keys_of(documents) if keys is None else keys
    np.save(folder / KEYS, keys)
    pairs = near_duplicates(documents, keys)
    if len(pairs):
        np.save(folder / DUPLICATES, pairs)
    return len(pairs)


def keys_of(documents: Sequence[Document]) -> Keys:
    """uint32 [n, bands]: what units are looked up by."""
    keys = np.zeros((len(documents), _BANDS), dtype=np.uint32)
    for row, document in enumerate(documents):
        keys[row] = _band_keys(document.text)
    return keys


def read_keys(path: Path, *, n: int) -> Keys:
    """Those in a file, memory-mapped.

    Raises:
        IndexProblem: they are not those of so many units.
    """
    keys = load_array(path)
    if keys.dtype != np.uint32 or keys.shape != (n, _BANDS):
        raise IndexProblem(
            f"'{path}' is {keys.dtype} {list(keys.shape)}, not uint32 {[n, _BANDS]}. Build the index again"
        )
    return keys


def near_duplicates(
    documents: Sequence[Document], keys: Keys | None = None, rows: NDArray[np.int32] | None = None
) -> Pairs:
    """(row, first row of its group), int32 [n, 2], of all units that have a near-duplicate.

    Each unit of a group is a near-duplicate of the group's first. The same documents in the same order give the same.

    Args:
        keys: of these documents, where they are known (`keys_of`).
        rows: of the documents that count, ascending, as if there were no others; all, where it is None.
    """
    keys = keys_of(documents) if keys is None else keys
    keys, rows = (keys, np.arange(len(keys), dtype=np.int32)) if rows is None else (keys[rows], rows)
    group_of: dict[int, int] = {}

    @lru_cache(maxsize=64)
    def runs_of(place: int) -> tuple[frozenset[tuple[str, ...]], object]:
        document = documents[int(rows[place])]
        return _runs(document.text), document.contents

    for place, earlier in _candidates(keys):
        first = group_of.get(earlier, earlier)
        if place not in group_of and _alike(runs_of(first), runs_of(place)):
            group_of[place] = group_of[first] = first
    return rows[np.array(sorted(group_of.items()), dtype=np.int32).reshape(-1, 2)]


def _band_keys(text: str) -> NDArray[np.uint32]:
    """uint32 [bands]; 0 where the text has nothing in a band."""
    runs = _hashes(_words(text))
    if not len(runs):
        return np.zeros(_BANDS, dtype=np.uint32)
    least = np.full(_BINS, _EMPTY)
    np.minimum.at(least, (runs >> np.uint64(58)).astype(np.intp), runs)
    bands = least.reshape(_BANDS, _PER_BAND)
    mixed: NDArray[np.uint64] = np.bitwise_xor.reduce(
        bands * np.arange(3, 2 * _PER_BAND + 3, 2, dtype=np.uint64), axis=1
    )
    keys: NDArray[np.uint32] = (mixed >> np.uint64(32)).astype(np.uint32) | np.uint32(1)
    keys[(bands == _EMPTY).all(axis=1)] = 0
    return keys


def _words(text: str) -> list[str]:
    return (_ASCII_WORD if text.isascii() else _WORD).findall(text.lower())  # the first is a third faster


def _hashes(words: Sequence[str]) -> NDArray[np.uint64]:
    """A hash of every run of three words; of all of them where there are fewer."""
    hashes = np.array(list(map(_hash, words)), dtype=np.uint64)
    n = max(1, len(hashes) - _RUN + 1) if len(hashes) else 0
    mixed = np.zeros(n, dtype=np.uint64)
    for place, factor in enumerate(_MIX):
        part = hashes[place : place + n]
        mixed[: len(part)] ^= part * factor
    mixed ^= mixed >> np.uint64(29)
    mixed *= _MIX[1]
    return mixed ^ (mixed >> np.uint64(32))


@lru_cache(maxsize=1 << 17)
def _hash(word: str) -> int:
    return int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _candidates(keys: NDArray[np.uint32]) -> Iterator[tuple[int, int]]:
    """(row, an earlier row that shares a band with it), rows ascending."""
    pairs = np.empty(0, dtype=np.int64)
    for band in keys.T:
        order = np.argsort(band, kind="stable")
        ordered, found = band[order], [pairs]
        for step in range(1, _COMPARED + 1):
            same = np.flatnonzero((ordered[step:] == ordered[:-step]) & (ordered[step:] != 0))
            found.append(order[same + step] << 32 | order[same])
        pairs = np.sort(np.concatenate(found))
        pairs = pairs[np.diff(pairs, prepend=-1) > 0]  # band by band, as copies of one text meet in all of them
    for pair in pairs:
        yield int(pair >> 32), int(pair & 0xFFFFFFFF)


def _runs(text: str) -> frozenset[tuple[str, ...]]:
    words = _words(text)
    return frozenset(tuple(words[i : i + _RUN]) for i in range(max(1, len(words) - _RUN + 1)))


def _alike(one: tuple[frozenset[tuple[str, ...]], object], other: tuple[frozenset[tuple[str, ...]], object]) -> bool:
    shared = len(one[0] & other[0])
    return one[1] == other[1] and shared >= LEAST * (len(one[0]) + len(other[0]) - shared)
