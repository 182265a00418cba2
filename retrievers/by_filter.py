"""Queries that share a filter are searched together."""

from __future__ import annotations

from collections.abc import Sequence

from rag.core.filters import Filter, Where, both
from rag.core.types import Query


def by_filter(queries: Sequence[Query], also: Where | None = None) -> list[tuple[Filter | None, list[int]]]:
    """Filters in first-seen order, each with the positions of its queries. `also`: what holds for all of them.

    Raises:
        SpecError: a filter cannot be understood.
    """
    positions: dict[Filter | None, list[int]] = {}
    for position, query in enumerate(queries):
        positions.setdefault(both(also, query.where), []).append(position)
    return list(positions.items())
