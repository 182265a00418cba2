"""Which rows a metadata filter lets through."""

from __future__ import annotations

import json
import threading
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import SpecError, did_you_mean
from rag.core.types import Where
from retrievers.index.documents import Documents

_SHOWN, _SHOWN_CHARACTERS = 3, 80
"""Unknown keys that an error names, and how much of each."""


@dataclass(frozen=True, slots=True)
class _Column:
    """Rows of each value: `rows[starts[code] : starts[code + 1]]`."""

    codes: dict[str, int]
    starts: NDArray[np.int64]
    rows: NDArray[np.int32]

    def having(self, values: Iterable[Any]) -> NDArray[np.int32]:
        codes = [code for value in values if (code := self.codes.get(_name(value))) is not None]
        found = [self.rows[self.starts[code] : self.starts[code + 1]] for code in codes]
        return np.concatenate(found) if found else np.empty(0, np.int32)


class MetadataFilter:
    """Turns a filter into a mask over rows, safe to use from any thread.

    The first filter on a key reads all documents once (about 70 MB/s) and keeps 4 bytes per row and each
    distinct value; later ones cost what their matches cost. A list in the metadata matches when one of its
    members does. 1 and 1.0 are equal, 1 and "1" and true are not.
    """

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._columns: dict[str, _Column] = {}
        self._known: frozenset[str] | None = None
        self._lock = threading.Lock()

    def mask(self, where: Where | None) -> NDArray[np.bool_] | None:
        """bool [n]; None for no filter, which lets all through.

        Raises:
            SpecError: no document has such a key.
        """
        if not where:
            return None
        self._read(where)
        mask = np.ones(len(self._documents), dtype=np.bool_)
        for key, wanted in where.items():
            values = wanted if isinstance(wanted, tuple | list | set | frozenset) else (wanted,)
            allowed = np.zeros_like(mask)
            allowed[self._columns[key].having(values)] = True
            mask &= allowed
        return mask

    def _read(self, keys: Iterable[str]) -> None:
        with self._lock:
            missing = [key for key in keys if key not in self._columns]
            unknown = [key for key in missing if self._known is not None and key not in self._known]
            if missing and not unknown:
                self._columns |= self._scan(missing)
                unknown = [key for key in missing if key not in self._columns]
            if unknown:
                raise SpecError(*self._told(unknown))

    def _told(self, unknown: Sequence[str]) -> list[str]:
        """A line on each of the first unknown keys. A request may send many, and long ones: it gets few back."""
        first = [key[:_SHOWN_CHARACTERS] for key in unknown[:_SHOWN]]
        lines = [f"no document has metadata '{key}'. {did_you_mean(key, self._known or ())}" for key in first]
        more = len(unknown) - len(first)
        return [*lines, f"no document has metadata under {more:,} more of these keys"] if more else lines

    def _scan(self, keys: list[str]) -> dict[str, _Column]:
        """Columns of those `keys` that some document has."""
        codes: dict[str, dict[str, int]] = {key: {} for key in keys}
        pairs = {key: (array("i"), array("i")) for key in keys}
        seen: set[str] = set()
        for row, document in enumerate(self._documents):
            seen.update(document.metadata)
            for key in keys:
                if key not in document.metadata:
                    continue
                value = document.metadata[key]
                for one in value if isinstance(value, list) else (value,):
                    pairs[key][0].append(codes[key].setdefault(_name(one), len(codes[key])))
                    pairs[key][1].append(row)
        self._known = frozenset(seen)
        return {key: _column(codes[key], *pairs[key]) for key in keys if key in seen}


def _column(codes: dict[str, int], code_of: array[int], row_of: array[int]) -> _Column:
    by_code, by_row = np.array(code_of, dtype=np.int32), np.array(row_of, dtype=np.int32)
    counts = np.bincount(by_code, minlength=len(codes))
    starts = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return _Column(codes, starts, by_row[np.argsort(by_code, kind="stable")])


def _name(value: Any) -> str:
    """Equal values, and only they, have equal names."""
    if isinstance(value, str):
        return f'"{value}'
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True, default=str)
