"""Units that say nearly the same: which they are is known when an index is built, and kept beside its documents.

    duplicates.npy        int32 [m, 2], (row, first row of its group) of every unit in a group, rows ascending
    duplicates_bands.npy  uint32 [n, 16], what units are looked up by: those of parts that are joined need no second reading

There is no first file where there are none. Nothing is left out of an index.

Two units are near-duplicates where at least `LEAST` of all their three-word runs are in both (Jaccard; Broder 1997). Candidates
come from one-permutation MinHash (Li, Owen and Zhang, NIPS 2012), a pass over the words of a unit. Of most candidates the marks
that their runs leave in 512 bits say that too little is in both. The others are compared by words, so a wrong one costs time
and is never folded.
datasketch's MinHash asks for 128 hash functions a run where this asks for one; simhash (Charikar 2002) within 3 of its 64
bits is for texts of cosine 0.99 and more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import IndexProblem
from rag.core.types import Document, Where
from retrievers.stores.arrays import load_array

DUPLICATES, KEYS = "duplicates.npy", "duplicates_bands.npy"
LEAST = 0.8
_RUN = 3
_BANDS, _PER_BAND = 16, 4  # two units of Jaccard 0.8 meet in some band with probability 0.9998, of 0.5 with 0.64
_BINS = _BANDS * _PER_BAND
_MARKS = 512
_EMPTY = np.uint64(2**64 - 1)
_CHARACTERS, _AT_LEAST = 1 << 18, 100  # that are hashed together, and for how many a text counts
_END = "A"  # of a text; no lower-cased one has it
_BASE = 0x9E3779B97F4A7C15
_PAIRS, _ROW = 1 << 16, 0xFFFFFFFF
_COMPARED = 3  # units before it in a band that a unit is compared with: boilerplate is not quadratic
_ALONE = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"  # characters of Chinese and Japanese, each a word
_WORD = re.compile(f"[{_ALONE}]|[^\\W{_ALONE}]+")
_MIX = np.array([_BASE, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], dtype=np.uint64)

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
    keys, marks = (keys, None) if keys is not None else _looked_up(_texts(documents), len(documents))
    np.save(folder / KEYS, keys)
    pairs = near_duplicates(documents, keys, marks=marks)
    if len(pairs):
        np.save(folder / DUPLICATES, pairs)
    return len(pairs)


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
    marks: _Marks | None = None,
) -> Pairs:
    """(row, first row of its group), int32 [n, 2], of all units that have a near-duplicate.

    Each unit of a group is a near-duplicate of the group's first. The same documents in the same order give the same.

    Args:
        keys: of these documents, where they are known.
        rows: of the documents that count, ascending, as if there were no others; all, where it is None.
        marks: of all documents, where they are known.
    """
    if keys is None:
        keys, marks = _looked_up(_texts(documents), len(documents))
    keys, rows = (keys, np.arange(len(keys), dtype=np.int32)) if rows is None else (keys[rows], rows)
    group_of: dict[int, int] = {}

    @lru_cache(maxsize=64)
    def whole(place: int) -> tuple[frozenset[tuple[str, ...]], object]:
        document = documents[int(rows[place])]
        return _runs(document.text), document.contents

    pairs = _candidates(keys)
    if marks is None:
        asked = rows[np.unique(np.concatenate((pairs >> 32, pairs & _ROW)))]
        marks = _Marks.empty(len(documents))
        texts = (documents[row].text for row in asked.tolist())
        marks.bits[asked], marks.sizes[asked] = _looked_up(texts, len(asked))[1]
    for begun in range(0, len(pairs), _PAIRS):
        places, others = pairs[begun : begun + _PAIRS] >> 32, pairs[begun : begun + _PAIRS] & _ROW
        near = marks.may_be_near(rows[places], rows[others])
        for place, earlier, may_be in zip(places.tolist(), others.tolist(), near, strict=True):
            first = group_of.get(earlier, earlier)
            if place not in group_of and (may_be or first != earlier):
                (one, its_contents), (other, contents) = whole(first), whole(place)
                if its_contents == contents and _alike(one, other):
                    group_of[place] = group_of[first] = first
    return rows[np.array(sorted(group_of.items()), dtype=np.int32).reshape(-1, 2)]


class _Hashed(NamedTuple):
    """Hashes of the runs of some texts, uint64 [n], one text after the other, and how many each has, int64."""

    runs: NDArray[np.uint64]
    sizes: NDArray[np.int64]


class _Marks(NamedTuple):
    """Which bits the runs of each unit set, uint64 [n, 8], and how many runs it has, int64 [n]."""

    bits: NDArray[np.uint64]
    sizes: NDArray[np.int64]

    @classmethod
    def empty(cls, n: int) -> _Marks:
        """Of so many units without a run."""
        return cls(np.zeros((n, _MARKS // 64), dtype=np.uint64), np.zeros(n, dtype=np.int64))

    def may_be_near(self, rows: NDArray[np.int32], others: NDArray[np.int32]) -> list[bool]:
        """Of pairs of units, whether so much may be in both: a bit that one has alone is a run that the other lacks."""
        ours, theirs = self.bits[rows], self.bits[others]
        alone = np.bitwise_count(ours & ~theirs).sum(axis=1, dtype=np.int64)
        lacking = np.bitwise_count(theirs & ~ours).sum(axis=1, dtype=np.int64)
        most = np.minimum(self.sizes[rows] - alone, self.sizes[others] - lacking)
        return (most >= LEAST * (most + alone + lacking)).tolist()  # type: ignore[no-any-return]


def _texts(documents: Iterable[Document]) -> Iterator[str]:
    return (document.text for document in documents)


def _looked_up(texts: Iterable[str], n: int) -> tuple[Keys, _Marks]:
    """What units are looked up by, and what tells most of them apart. `n`: how many texts there are."""
    keys, marks, first = np.zeros((n, _BANDS), dtype=np.uint32), _Marks.empty(n), 0
    for hashed in _hashed(texts):
        last = first + len(hashed.sizes)
        keys[first:last] = _band_keys(hashed)
        marks.bits[first:last], marks.sizes[first:last] = _bits(hashed), hashed.sizes
        first = last
    return keys, marks


def _hashed(texts: Iterable[str]) -> Iterator[_Hashed]:
    """A hash of every run of three words; of all words where there are fewer. Many texts at a time."""
    some, size = list[str](), 0
    for text in texts:
        some.append(text.lower())
        size += len(text) + _AT_LEAST
        if size > _CHARACTERS:
            yield _run_hashes(some)
            some, size = [], 0
    if some:
        yield _run_hashes(some)


def _run_hashes(texts: Sequence[str]) -> _Hashed:
    """Of lower-cased texts. A word is a number in base `_BASE`, modulo 2**64: what stands before it is subtracted from a sum."""
    joined = "\n" + "".join(text + _END + _END for text in texts)  # two, so that no run reaches into the next text
    plain = joined.isascii()
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
    kinds = _kinds(0x80 if plain else 0x110000)[codes]
    inside = (kinds[1:] == 1) & (kinds[:-1] == 1)
    starts = np.flatnonzero(np.append(False, (kinds[1:] > 0) & ~inside))
    ends = np.flatnonzero(np.append((kinds[:-1] > 0) & ~inside, True))
    powers = np.multiply.accumulate(np.full(len(codes), _BASE, dtype=np.uint64))
    sums = np.cumsum(codes * powers)
    words = (sums[ends] - sums[starts - 1]) * powers[len(codes) - 1 - starts]
    words = _mixed(words * np.uint64(pow(_BASE, -len(codes) - 1, 2**64)))
    lasts = np.flatnonzero(codes[starts] == ord(_END))[::2]
    firsts = np.append(0, lasts[:-1] + 2)
    n_words = lasts - firsts
    n_runs = np.minimum(n_words, np.maximum(1, n_words - _RUN + 1))
    places = np.arange(n_runs.sum()) + np.repeat(firsts - (np.cumsum(n_runs) - n_runs), n_runs)
    mixed = words[:-2] * _MIX[0] ^ words[1:-1] * _MIX[1] ^ words[2:] * _MIX[2]
    return _Hashed(_mixed(mixed)[places], n_runs)


@cache
def _kinds(n: int) -> NDArray[np.int8]:
    """Of characters below `n`: 0 in no word, 1 in words, 2 a word alone."""
    every, kinds = "".join(map(chr, range(n))), np.zeros(n, dtype=np.int8)
    for kind, characters in enumerate(("\\w", f"[{_ALONE}{_END}]"), 1):
        kinds[[match.start() for match in re.finditer(characters, every)]] = kind
    return kinds


def _mixed(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    hashes = (hashes ^ hashes >> np.uint64(29)) * _MIX[1]
    return hashes ^ hashes >> np.uint64(32)


def _bits(hashed: _Hashed) -> NDArray[np.uint64]:
    """uint64 [texts, 8]: which of so many bits the runs of each text set."""
    bits = np.zeros((len(hashed.sizes), _MARKS), dtype=np.bool_)
    bits[np.repeat(np.arange(len(bits)), hashed.sizes), (hashed.runs % np.uint64(_MARKS)).astype(np.int64)] = True
    return np.packbits(bits, axis=1).view(np.uint64)


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
    return _WORD.findall(text.lower())


def _candidates(keys: Keys) -> NDArray[np.int64]:
    """A row and an earlier one that shares a band with it, as `row << 32 | earlier`, ascending."""
    pairs = np.empty(0, dtype=np.int64)
    for band in keys.T:
        order = np.argsort(band, kind="stable")
        ordered, found = band[order], [pairs]
        for step in range(1, _COMPARED + 1):
            same = np.flatnonzero((ordered[step:] == ordered[:-step]) & (ordered[step:] != 0))
            found.append(order[same + step] << 32 | order[same])
        pairs = np.sort(np.concatenate(found))
        pairs = pairs[np.diff(pairs, prepend=-1) > 0]  # band by band, as copies of one text meet in all of them
    return pairs


def _runs(text: str) -> frozenset[tuple[str, ...]]:
    words = _words(text)
    return frozenset(zip(words, words[1:], words[2:], strict=False) if len(words) > _RUN else [tuple(words)])


def _alike(one: frozenset[tuple[str, ...]], other: frozenset[tuple[str, ...]]) -> bool:
    shared = len(one) - len(one - other)
    return shared >= LEAST * (len(one) + len(other) - shared)
