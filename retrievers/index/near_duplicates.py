"""Units that say nearly the same: which they are is known when an index is built, and kept beside its documents.

    duplicates.npy        int32 [m, 2], (row, first row of its group) of every unit in a group, rows ascending
    duplicates_keys.npy   uint32 [n, 16], what units are looked up by: those of parts that are joined need no second reading

There is no first file where there are none. Nothing is left out of an index.

Two units are near-duplicates where at least `LEAST` of all their three-word runs are in both (Jaccard; Broder 1997). Candidates
come from one-permutation MinHash (Li, Owen and Zhang, NIPS 2012), a pass over the words of a unit. Every candidate is then
compared by 64-bit hashes of its runs, and exactly where these are alike, so a wrong one costs time and is never folded.
datasketch's MinHash asks for 128 hash functions a run where this asks for one; simhash (Charikar 2002) within 3 of its 64
bits is for texts of cosine 0.99 and more.
"""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO, NamedTuple, Protocol, cast, runtime_checkable

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
_WORDS = 1 << 16  # that are hashed together
_KNOWN = 1 << 18  # words whose hash is kept
_PAIRS = 1 << 16  # that are told one by one
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
    """Write the files. Returns how many units are in a group. `keys`: of these documents, where they are known.

    Raises:
        OSError: the disk is full.
    """
    with TemporaryFile(dir=folder) as file:
        runs = None if keys is not None else _KeptHashes(cast(BinaryIO, file))
        keys = keys_of(documents, runs) if keys is None else keys
        np.save(folder / KEYS, keys)
        pairs = near_duplicates(documents, keys, runs=runs)
    if len(pairs):
        np.save(folder / DUPLICATES, pairs)
    return len(pairs)


def keys_of(documents: Sequence[Document], runs: _KeptHashes | None = None) -> Keys:
    """uint32 [n, bands]: what units are looked up by; 0 where one has nothing in a band. `runs`: keeps the hashes they are of."""
    keys, first = np.zeros((len(documents), _BANDS), dtype=np.uint32), 0
    for hashed in _hashed(document.text for document in documents):
        n = len(hashed.sizes)
        keys[first : first + n] = _band_keys(hashed)
        if runs is not None:
            runs.add(hashed)
        first += n
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
    documents: Sequence[Document],
    keys: Keys | None = None,
    rows: NDArray[np.int32] | None = None,
    runs: _KeptHashes | None = None,
) -> Pairs:
    """(row, first row of its group), int32 [n, 2], of all units that have a near-duplicate.

    Each unit of a group is a near-duplicate of the group's first. The same documents in the same order give the same.

    Args:
        keys: of these documents, where they are known (`keys_of`).
        rows: of the documents that count, ascending, as if there were no others; all, where it is None.
        runs: of all documents, where they are kept.
    """
    keys = keys_of(documents) if keys is None else keys
    keys, rows = (keys, np.arange(len(keys), dtype=np.int32)) if rows is None else (keys[rows], rows)
    group_of: dict[int, int] = {}

    @lru_cache(maxsize=256)
    def hashes(place: int) -> frozenset[int]:
        row = int(rows[place])
        return runs.of(row) if runs is not None else frozenset(next(_hashed([documents[row].text])).runs.tolist())

    @lru_cache(maxsize=64)
    def whole(place: int) -> tuple[frozenset[tuple[str, ...]], object]:
        document = documents[int(rows[place])]
        return _runs(document.text), document.contents

    for place, earlier in _candidates(keys):
        if place not in group_of:
            first = group_of.get(earlier, earlier)
            if _alike(hashes(first), hashes(place)):
                (one, its_contents), (other, others) = whole(first), whole(place)
                if its_contents == others and _alike(one, other):
                    group_of[place] = group_of[first] = first
    return rows[np.array(sorted(group_of.items()), dtype=np.int32).reshape(-1, 2)]


class _Hashed(NamedTuple):
    """Hashes of the runs of some texts, uint64 [n], one text after the other, and how many each has, int64."""

    runs: NDArray[np.uint64]
    sizes: NDArray[np.int64]


class _KeptHashes:
    """Hashes of the runs of all units, in a file, 8 bytes each: a second reading of the texts would cost more."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._ends = file, array("q", [0])

    def add(self, hashed: _Hashed) -> None:
        """Those of the next units."""
        self._file.write(hashed.runs.data)
        self._file.flush()
        self._ends.extend((self._ends[-1] + np.cumsum(hashed.sizes)).tolist())

    def of(self, row: int) -> frozenset[int]:
        """Those of one."""
        first, last = self._ends[row], self._ends[row + 1]
        return frozenset(array("Q", os.pread(self._file.fileno(), 8 * (last - first), 8 * first)))


class _WordHashes(dict[str, int]):
    """Word -> its hash, kept."""

    def __missing__(self, word: str) -> int:
        made = int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
        self[word] = made
        return made


def _hashed(texts: Iterable[str]) -> Iterator[_Hashed]:
    """A hash of every run of three words; of all words where there are fewer. Many texts at a time."""
    known, words, sizes = _WordHashes(), array("Q"), array("q")
    for text in texts:
        before = len(words)
        words.extend(map(known.__getitem__, _words(text)))
        sizes.append(len(words) - before)
        words.extend((0, 0))  # so that no run reaches into the next text
        if len(words) > _WORDS:
            yield _run_hashes(words, sizes)
            words, sizes = array("Q"), array("q")
            if len(known) > _KNOWN:
                known.clear()
    if sizes:
        yield _run_hashes(words, sizes)


def _run_hashes(words: array[int], sizes: array[int]) -> _Hashed:
    """`words`: hashes of those of each text, and two zeros behind them. `sizes`: words of each."""
    hashes, n_words = np.array(words, dtype=np.uint64), np.array(sizes, dtype=np.int64)
    mixed = hashes[:-2] * _MIX[0] ^ hashes[1:-1] * _MIX[1] ^ hashes[2:] * _MIX[2]
    mixed ^= mixed >> np.uint64(29)
    mixed *= _MIX[1]
    mixed ^= mixed >> np.uint64(32)
    n_runs = np.minimum(n_words, np.maximum(1, n_words - _RUN + 1))
    starts = np.cumsum(n_words + 2) - (n_words + 2)
    places = np.arange(n_runs.sum()) + np.repeat(starts - (np.cumsum(n_runs) - n_runs), n_runs)
    return _Hashed(mixed[places], n_runs)


def _band_keys(hashed: _Hashed) -> Keys:
    """uint32 [texts, bands]; 0 where a text has nothing in a band."""
    n, runs = len(hashed.sizes), hashed.runs
    least = np.full(n * _BINS, _EMPTY)
    np.minimum.at(least, np.repeat(np.arange(n) * _BINS, hashed.sizes) + (runs >> np.uint64(58)).astype(np.int64), runs)
    bands = least.reshape(n, _BANDS, _PER_BAND)
    factors = np.arange(3, 2 * _PER_BAND + 3, 2, dtype=np.uint64)
    mixed: NDArray[np.uint64] = np.bitwise_xor.reduce(bands * factors, axis=2)
    keys: NDArray[np.uint32] = (mixed >> np.uint64(32)).astype(np.uint32) | np.uint32(1)
    keys[(bands == _EMPTY).all(axis=2)] = 0
    return keys


def _words(text: str) -> list[str]:
    return (_ASCII_WORD if text.isascii() else _WORD).findall(text.lower())  # the first is a third faster


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
    for first in range(0, len(pairs), _PAIRS):
        some = pairs[first : first + _PAIRS]
        yield from zip((some >> 32).tolist(), (some & 0xFFFFFFFF).tolist(), strict=True)


def _runs(text: str) -> frozenset[tuple[str, ...]]:
    words = _words(text)
    return frozenset(tuple(words[i : i + _RUN]) for i in range(max(1, len(words) - _RUN + 1)))


def _alike(one: frozenset[Any], other: frozenset[Any]) -> bool:
    shared = len(one) - len(one - other)
    return shared >= LEAST * (len(one) + len(other) - shared)
