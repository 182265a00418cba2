"""One metadata key of all documents, turned round: from each value to the rows that have it.

An operator that is not in `_BY_ORDER` is asked once of each distinct value. Those in it find their values in sorted order.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from rag.core.filters import Operator
from rag.core.filters.operators import (
    Equal,
    Exists,
    Glob,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    OneOf,
    Prefix,
    Range,
)
from rag.core.filters.values import Moment, moment_of, name_of, number_of, value_named

_FEW = 64
"""Values whose rows are gathered one by one; of more, all rows are looked at."""

T = TypeVar("T")
Codes = Sequence[int] | NDArray[np.int32]
Ordered = tuple[list[T], NDArray[np.int32]]
"""Something of each value, ascending, and the codes of the values."""


class Column:
    """Rows of each value: `rows[starts[code] : starts[code + 1]]`; `codes` holds the code of each value's name."""

    def __init__(self, codes: dict[str, int], code_of: array[int], row_of: array[int]) -> None:
        by_code, by_row = np.array(code_of, dtype=np.int32), np.array(row_of, dtype=np.int32)
        counts = np.bincount(by_code, minlength=len(codes))
        self.codes = codes
        self.starts = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        self.rows = by_row[np.argsort(by_code, kind="stable")]

    def rows_where(self, operator: Operator) -> NDArray[np.int32]:
        """Rows that have a value for which the operator holds; one may come several times."""
        codes_of = _BY_ORDER.get(type(operator))
        if codes_of is not None:
            return self._rows_of(codes_of(self, operator))
        return self._rows_of([code for name, code in self.codes.items() if operator.holds(value_named(name))])

    def counts(self, mask: NDArray[np.bool_], documents: NDArray[np.int32]) -> dict[str, int]:
        """Name of a value -> documents that have it in a row of the mask, bool [n]. `documents`: of each row its number."""
        chosen = mask[self.rows]
        codes = np.repeat(np.arange(len(self.codes)), np.diff(self.starts))[chosen]
        owners = documents[self.rows[chosen]]
        first = np.ones(len(codes), dtype=np.bool_)  # rows of a document follow one another, in each value too
        first[1:] = (codes[1:] != codes[:-1]) | (owners[1:] != owners[:-1])
        n = np.bincount(codes[first], minlength=len(self.codes)).tolist()
        return {name: n[code] for name, code in self.codes.items() if n[code]}

    def _rows_of(self, codes: Codes) -> NDArray[np.int32]:
        if len(codes) == 0:
            return np.empty(0, np.int32)
        if len(codes) <= _FEW:
            return np.concatenate([self.rows[self.starts[code] : self.starts[code + 1]] for code in codes])
        passes = np.zeros(len(self.codes), dtype=np.bool_)
        passes[np.asarray(codes)] = True
        return self.rows[np.repeat(passes, np.diff(self.starts))]

    @cached_property
    def texts(self) -> Ordered[str]:
        """All texts."""
        return _ordered((name[1:], code) for name, code in self.codes.items() if name.startswith('"'))

    @cached_property
    def numbers(self) -> Ordered[float]:
        """All numbers, exactly, and all texts that are one: two that differ in their last bit are two."""
        values = ((value_named(name), code) for name, code in self.codes.items() if name[0] in '-0123456789I"')
        return _ordered((number, code) for value, code in values if (number := number_of(value)) is not None)

    @cached_property
    def days(self) -> Ordered[int]:
        """The days of all dates, with a time or without."""
        return _ordered((moment.day, code) for moment, code in self._moments)

    @cached_property
    def timeless_days(self) -> Ordered[int]:
        """The days of dates without a time."""
        return _ordered((moment.day, code) for moment, code in self._moments if moment.instant is None)

    @cached_property
    def instants(self) -> Ordered[int]:
        """The instants of dates with a time."""
        return _ordered((moment.instant, code) for moment, code in self._moments if moment.instant is not None)

    @cached_property
    def _moments(self) -> list[tuple[Moment, int]]:
        texts, codes = self.texts
        pairs = zip(map(moment_of, texts), codes.tolist(), strict=True)
        return [(moment, code) for moment, code in pairs if moment is not None]


def _ordered(pairs: Iterable[tuple[T, int]]) -> Ordered[T]:
    ordered = sorted(pairs)
    return [value for value, _ in ordered], np.array([code for _, code in ordered], dtype=np.int32)


def _equal(column: Column, operator: Equal) -> Codes:
    return _named(column, [operator.value_name])


def _one_of(column: Column, operator: OneOf) -> Codes:
    return _named(column, operator.value_names)


def _named(column: Column, names: Sequence[str]) -> list[int]:
    return [code for name in names if (code := column.codes.get(name)) is not None]


def _exists(column: Column, operator: Exists) -> Codes:
    null = name_of(None)
    return [code for name, code in column.codes.items() if name != null]


def _prefix(column: Column, operator: Prefix) -> Codes:
    return _beginning(column, operator.value)[1]


def _glob(column: Column, operator: Glob) -> Codes:
    texts, codes = _beginning(column, operator.beginning)
    return [code for text, code in zip(texts, codes.tolist(), strict=True) if operator.holds(text)]


def _beginning(column: Column, start: str) -> Ordered[str]:
    texts, codes = column.texts
    first = bisect_left(texts, start)
    last = bisect_left(texts, True, lo=first, key=lambda text: not text.startswith(start))
    return texts[first:last], codes[first:last]


def _range(column: Column, operator: Range) -> Codes:
    bound = operator.bound
    if not isinstance(bound, Moment):
        return _beyond(operator, column.numbers, bound)
    if bound.instant is None:
        return _beyond(operator, column.days, bound.day)
    timed = _beyond(operator, column.instants, bound.instant)
    return np.concatenate([timed, _beyond(operator, column.timeless_days, bound.day)])


def _beyond(operator: Range, ordered: Ordered[Any], bound: float) -> NDArray[np.int32]:
    """Codes of what is on the right side of a bound: before or after all that equals it, and with it or without."""
    values, codes = ordered
    first, last = bisect_left(values, bound), bisect_right(values, bound)
    with_equal = operator.compare(0, 0)
    if operator.compare(1, 0):
        return codes[first if with_equal else last :]
    return codes[: last if with_equal else first]


_BY_ORDER: dict[type[Operator], Callable[[Column, Any], Codes]] = {
    Equal: _equal,
    OneOf: _one_of,
    Exists: _exists,
    Prefix: _prefix,
    Glob: _glob,
    Greater: _range,
    GreaterOrEqual: _range,
    Less: _range,
    LessOrEqual: _range,
}
