"""How many documents a question finds by each value of a field, such as by author or year."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from typing import Any

from rag.core.errors import SpecError
from rag.core.filters.values import value_named
from rag.core.types import Query
from retrievers.index_protocol import Index, counting
from retrievers.legs.lexical.retriever import BM25Retriever

MOST_FIELDS = 10
MOST_VALUES = 20
"""Values of a field that are told; of the others it is told how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facet:
    """`values`: the most frequent first, ties by value, each with its documents. `others`: values that are left out."""

    values: tuple[tuple[Any, int], ...]
    others: int = 0

    def as_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {"values": [{"value": value, "documents": n} for value, n in self.values], "others": self.others}


def facets(index: Index | None, query: Query, fields: Sequence[str]) -> dict[str, Facet]:
    """Field -> its values among all documents that have a word of the question, and pass its filter. Exact.

    So it counts what BM25 finds at any depth: vectors are near to every document, and cut nothing off.

    Raises:
        SpecError: no document that whoever asks may read has such a field, or the index cannot tell; or too many fields.
        IndexMismatch: the index has no words.
    """
    if len(fields) > MOST_FIELDS:
        raise SpecError(f"facets: at most {MOST_FIELDS} fields, got {len(fields)}")
    if index is None:
        raise SpecError("facets: this graph searches no index, so there is nothing to count")
    counted = counting(index).counts(list(fields), BM25Retriever(index=index).matching(query), query.where)
    return {field: _facet(counts) for field, counts in counted.items()}


def facets_json(counted: Mapping[str, Facet]) -> dict[str, Any]:
    """The same as plain data."""
    return {field: facet.as_dict() for field, facet in counted.items()}


def _facet(counts: Mapping[str, int]) -> Facet:
    shown = nsmallest(MOST_VALUES, counts, key=lambda name: (-counts[name], name))
    return Facet(values=tuple((value_named(name), counts[name]) for name in shown), others=len(counts) - len(shown))
