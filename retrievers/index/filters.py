"""Which rows a metadata filter lets through."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Iterable, Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import SpecError, did_you_mean
from rag.core.filters import Condition, Where, conditions, fold, parse_where
from rag.core.filters.values import name_of
from retrievers.index.columns import Column
from retrievers.index.documents import StoredDocuments

Mask = NDArray[np.bool_]

_SHOWN, _SHOWN_CHARACTERS = 3, 80
"""Unknown keys that an error names, and how much of each."""


class MetadataFilter:
    """Turns a filter into a mask over rows, safe to use from any thread.

    The first filter on a key reads all documents once (about 70 MB/s) and keeps 4 bytes per row and each
    distinct value; later ones cost what their matches cost. What a filter means says `rag.core.filters.matches`.

    Args:
        labels: int32 [n], alike for rows that the same people may read; None where everybody may read all.
    """

    def __init__(self, documents: StoredDocuments, labels: NDArray[np.int32] | None = None) -> None:
        self._documents, self._labels = documents, labels
        self._columns: dict[str, Column] = {}
        self._owners = np.empty(0, dtype=np.int32)
        self._known: dict[str, list[int]] | None = None
        self._lock = threading.Lock()

    def mask(self, where: Where | None, *, among: Mask | None = None) -> Mask | None:
        """bool [n]; None for no filter, which lets all through.

        Args:
            among: bool [n], the rows that whoever asks may know of. A key that only others have is one that nobody has.
        Raises:
            SpecError: the filter cannot be understood, or no document has one of its keys, wherever it stands.
        """
        tree = parse_where(where)
        if tree is None:
            return None
        self._require(list(dict.fromkeys(condition.key for condition in conditions(tree))), among)
        return fold(tree, condition=self._mask_of, all_of=_all, any_of=_any, negation=_not)

    def counts(self, keys: Sequence[str], mask: Mask, *, among: Mask | None = None) -> dict[str, dict[str, int]]:
        """Key -> name of a value -> documents of which a row of the mask has it. A value of a list counts as each of them.

        Args:
            mask: bool [n].
            among: as for `mask`.
        Raises:
            SpecError: no document has one of the keys.
        """
        self._require(keys, among)
        return {key: self._columns[key].counts(mask, self._owners) for key in keys}

    def _require(self, keys: Sequence[str], among: Mask | None) -> None:
        """Have the columns of these keys."""
        self._read(keys, among)
        if unknown := [key for key in keys if not self._may_know(key, among)]:
            raise SpecError(*_problems(unknown, self._known or () if among is None else ()))

    def _mask_of(self, condition: Condition) -> Mask:
        mask = np.zeros(len(self._documents), dtype=np.bool_)
        mask[self._columns[condition.key].rows_where(condition.operator)] = True
        return mask

    def _read(self, keys: Sequence[str], among: Mask | None) -> None:
        """Make the columns of these keys; none where one of them is known to be no document's that somebody may know of.

        So the time that a question takes does not tell which keys only others have.
        """
        with self._lock:
            missing = [key for key in keys if key not in self._columns]
            if missing and self._known is None and among is not None:
                self._scan([])  # reading a column at once would take longer for a key that others have
            if missing and (self._known is None or all(self._may_know(key, among) for key in missing)):
                self._columns |= self._scan(missing)

    def _may_know(self, key: str, among: Mask | None) -> bool:
        """Whether one of these documents has a key: a look at a row of each label that has it."""
        rows = (self._known or {}).get(key, [])
        return bool(rows) if among is None else bool(among[rows].any())

    def _scan(self, keys: list[str]) -> dict[str, Column]:
        """Columns of those `keys` that some document has."""
        codes: dict[str, dict[str, int]] = {key: {} for key in keys}
        pairs = {key: (array("i"), array("i")) for key in keys}
        labels = [0] * len(self._documents) if self._labels is None else self._labels.tolist()
        first, seen = dict[int, int](), dict[int, set[str]]()
        owners, number, last = array("i"), -1, None
        for row, (label, document) in enumerate(zip(labels, self._documents, strict=True)):
            if (parent := document.parent) != last:
                number, last = number + 1, parent
            owners.append(number)
            first.setdefault(label, row)
            seen.setdefault(label, set()).update(document.metadata)
            for key in keys:
                if key not in document.metadata:
                    continue
                value = document.metadata[key]
                for one in value if isinstance(value, list) else (value,):
                    pairs[key][0].append(codes[key].setdefault(name_of(one), len(codes[key])))
                    pairs[key][1].append(row)
        known: dict[str, list[int]] = {}  # key -> a row of each label under which a document has it
        for label, names in seen.items():
            for name in names:
                known.setdefault(name, []).append(first[label])
        self._known, self._owners = known, np.array(owners, dtype=np.int32)
        return {key: Column(codes[key], *pairs[key]) for key in keys if key in known}


def _problems(unknown: Sequence[str], known: Iterable[str]) -> list[str]:
    """A line on each of the first unknown keys. A request may send many, and long ones: it gets few back."""
    first = [key[:_SHOWN_CHARACTERS] for key in unknown[:_SHOWN]]
    lines = [f"no document has metadata '{key}'. {did_you_mean(key, known)}" for key in first]
    more = len(unknown) - len(first)
    return [*lines, f"no document has metadata under {more:,} more of these keys"] if more else lines


def _all(masks: Iterable[Mask]) -> Mask:
    return reduce(np.logical_and, masks)


def _any(masks: Iterable[Mask]) -> Mask:
    return reduce(np.logical_or, masks)


def _not(mask: Mask) -> Mask:
    return ~mask
