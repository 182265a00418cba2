"""Parts that are searched as one: which of their rows are left, and what number each of these has in the whole.

Rows of the whole are counted part after part over what is left, so they are those of one build of the same documents.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from retrievers.stores.computed import Row

Rows = NDArray[np.int32]


class ChainRows:
    """Rows of all parts. Holds 8 bytes a row of those parts that have lost some, and nothing of the others.

    Args:
        sizes: rows of each part, whether left or not.
        removed: rows of each part that are gone, ascending; None for none.
    """

    def __init__(self, sizes: Sequence[int], removed: Sequence[Rows | None]) -> None:
        self.sizes = tuple(sizes)
        self.removed = tuple(gone if gone is not None and len(gone) else None for gone in removed)
        self.left = tuple(map(_left, self.sizes, self.removed))
        lengths = [size if left is None else len(left) for size, left in zip(self.sizes, self.left, strict=True)]
        self.starts = [0, *np.cumsum(lengths, dtype=np.int64).tolist()]
        self._places = [
            None if left is None else _places(size, left, start)
            for size, left, start in zip(self.sizes, self.left, self.starts, strict=False)
        ]

    def __len__(self) -> int:
        return int(self.starts[-1])

    def own(self, row: int) -> tuple[int, int]:
        """The part that has a row of the whole, and its number there."""
        part = int(np.searchsorted(self.starts, row, side="right")) - 1
        left, place = self.left[part], row - self.starts[part]
        return part, place if left is None else int(left[place])

    def own_rows(self, rows: NDArray[np.integer[Any]]) -> list[Rows]:
        """Those of rows of the whole that each part has, by its own numbers, in the order given."""
        parts = np.searchsorted(self.starts, rows, side="right") - 1
        own = []
        for part, left in enumerate(self.left):
            places = np.asarray(rows)[parts == part] - self.starts[part]
            own.append((places if left is None else left[places]).astype(np.int32))
        return own

    def rows(self, part: int, own: Rows) -> Rows:
        """Numbers in the whole of a part's rows; -1 where one is gone."""
        places = self._places[part]
        return own + np.int32(self.starts[part]) if places is None else places[own]

    def joined(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Values by row of each part -> by row of the whole."""
        return np.concatenate(
            [each if left is None else each[left] for each, left in zip(values, self.left, strict=True)]
        )


BUDGET_BYTES = 128 << 20
"""Copied stretches that a chained array keeps; the one that was asked for the longest ago goes first."""


class ChainedArray:
    """Arrays of parts by row, [n, ...], as one of what is left. A stretch that lies in one part without a gap is a view of
    it; others are copied when they are asked for, and kept up to `budget_bytes`. Safe to share between threads."""

    def __init__(self, parts: Sequence[NDArray[Any]], rows: ChainRows, *, budget_bytes: int = BUDGET_BYTES) -> None:
        self._parts, self._rows, self._budget = parts, rows, budget_bytes
        self.dtype, self.shape = parts[0].dtype, (len(rows), *parts[0].shape[1:])
        self._kept: OrderedDict[tuple[int, int], NDArray[Any]] = OrderedDict()
        self._lock = Lock()

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: slice | int | NDArray[np.integer[Any]]) -> NDArray[Any]:
        if isinstance(rows, slice):
            return self._stretch(*rows.indices(len(self))[:2])
        if isinstance(rows, int | np.integer):
            part, own = self._rows.own(int(rows))
            return np.asarray(self._parts[part][own])
        rows = np.asarray(rows)
        values = np.empty((len(rows), *self.shape[1:]), self.dtype)
        order = np.argsort(np.searchsorted(self._rows.starts, rows, side="right"), kind="stable")
        pieces = [array[own] for array, own in zip(self._parts, self._rows.own_rows(rows), strict=True)]
        values[order] = np.concatenate(pieces)
        return values

    def _stretch(self, first: int, last: int) -> NDArray[Any]:
        with self._lock:
            if (first, last) in self._kept:
                self._kept.move_to_end((first, last))
                return self._kept[first, last]
        stretch, copied = self._joined(first, last)
        if copied:
            with self._lock:
                self._kept[first, last] = stretch
                while sum(each.nbytes for each in self._kept.values()) > self._budget:
                    self._kept.popitem(last=False)
        return stretch

    def _joined(self, first: int, last: int) -> tuple[NDArray[Any], bool]:
        """A stretch, and whether it is a copy."""
        pieces = []
        for array, left, (begin, end) in zip(self._parts, self._rows.left, pairwise(self._rows.starts), strict=True):
            low, high = max(first, begin) - begin, min(last, end) - begin
            if low < high:
                pieces.append(_between(array, left, low, high))
        if len(pieces) == 1:
            return pieces[0], not any(np.may_share_memory(pieces[0], part) for part in self._parts)
        return (np.concatenate(pieces), True) if pieces else (self._parts[0][:0], False)


class RowTable(Protocol):
    """Something that a model made of every text."""

    def row(self, place: int) -> Row:
        """One text's part, by name."""
        ...


class ChainedTable:
    """Tables of parts as one of what is left."""

    def __init__(self, parts: Sequence[RowTable], rows: ChainRows) -> None:
        self._parts, self._rows = parts, rows

    def row(self, place: int) -> Row:
        """One text's part, by name."""
        part, own = self._rows.own(place)
        return self._parts[part].row(own)


def _between(array: NDArray[Any], left: Rows | None, low: int, high: int) -> NDArray[Any]:
    if left is None:
        return array[low:high]
    first, last = int(left[low]), int(left[high - 1]) + 1
    return array[first:last] if last - first == high - low else array[left[low:high]]


def _left(size: int, removed: Rows | None) -> Rows | None:
    if removed is None:
        return None
    kept = np.ones(size, dtype=np.bool_)
    kept[removed] = False
    return np.flatnonzero(kept).astype(np.int32)


def _places(size: int, left: Rows, start: int) -> Rows:
    places = np.full(size, -1, dtype=np.int32)
    places[left] = np.arange(start, start + len(left), dtype=np.int32)
    return places
