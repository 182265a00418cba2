"""What an index's documents have in their metadata: the fields, what kind of values they hold, and which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rag.core.filters.values import members, moment_of, name_of, number_of, value_named
from rag.core.replies import folded
from rag.core.types import Document

FieldKind = Literal["date", "number", "text", "mixed"]

OF_CHUNKS = frozenset({"parent", "start", "end", "page", "headings", "index_text", "model_text", "spans"})
"""Fields that say where a passage stands, and nothing of its document."""

_MOST_VALUES = 10_000
"""Distinct values of a field that are remembered; with more its kind is told by these."""

_MOST_FIELDS = 200
_MISSING = frozenset(["NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "-", "–", "—", "?", "."])
"""What tables have where a number or a date is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A metadata field. `values`: those that it has, the most frequent first, ties by value; at most 10,000 of them."""

    name: str
    kind: FieldKind
    values: tuple[Any, ...]

    @property
    def ordered(self) -> bool:
        """Whether its values have an order: dates and numbers do, marks for missing ones aside."""
        return self.kind in ("date", "number")

    def like(self, value: Any) -> Any:
        """The one value that reads as this, whatever the letter case and the type; the value itself where none or several do.

        >>> Field(name="kind", kind="text", values=("Summary", "7")).like("summary")
        'Summary'
        """
        if value in self.values:
            return value
        alike = [known for known in self.values if folded(str(known)) == folded(str(value))]
        return alike[0] if len(alike) == 1 else value


def fields_of(documents: Iterable[Document], *, but_not: Collection[str] = OF_CHUNKS) -> dict[str, Field]:
    """The fields of documents in alphabetical order, without values that are objects or null. Reads all documents once.

    Of more than 200 fields the most frequent are kept.
    """
    counts: dict[str, Counter[str]] = {}
    for document in documents:
        for name in document.metadata:
            if name in but_not or not isinstance(name, str):
                continue
            values = counts.setdefault(name, Counter())
            for value in members(document.metadata, name):
                if not isinstance(value, str | int | float):
                    continue
                key = name_of(value)
                if key in values or len(values) < _MOST_VALUES:
                    values[key] += 1
    kept = sorted(counts, key=lambda name: (-counts[name].total(), name))[:_MOST_FIELDS]
    return {name: _field(name, counts[name]) for name in sorted(kept) if counts[name]}


def _field(name: str, counts: Mapping[str, int]) -> Field:
    values = tuple(value_named(key) for key in sorted(counts, key=lambda key: (-counts[key], key)))
    return Field(name=name, kind=_kind(without_missing(values)), values=values)


def without_missing(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values but marks for missing ones, such as NA; all of them where there is nothing else."""
    return tuple(value for value in values if value not in _MISSING) or values


def _kind(values: Collection[Any]) -> FieldKind:
    if all(moment_of(value) is not None for value in values):
        return "date"
    if all(number_of(value) is not None for value in values):
        return "number"
    return "text" if all(isinstance(value, str) for value in values) else "mixed"
