"""The front door: whatever a filter is written as -> a filter, and what that means in plain Python."""

from __future__ import annotations

from collections.abc import Mapping
from operator import not_
from typing import Any

from rag.core.errors import SpecError
from rag.core.filters.limits import ANY_SIZE, Limits
from rag.core.filters.nodes import Condition, Filter, conditions, fold
from rag.core.filters.structured import all_of, read_mapping
from rag.core.filters.text import read_text
from rag.core.filters.values import members, shown

WhereData = Mapping[str, Any] | str
"""A filter as it stands in a file or a request."""

Where = WhereData | Filter
"""A metadata filter: plain data such as {"lang": "de"}, text such as 'year >= 2020', or a filter already read."""


def parse_where(where: Where | None, *, limits: Limits = ANY_SIZE) -> Filter | None:
    """A filter; None for None and for an empty mapping, which let everything through.

    Raises:
        SpecError: it cannot be understood, or is larger than the limits allow; says where, and what is allowed.

    >>> parse_where({"lang": "de"}) == parse_where("lang = de")
    True
    """
    if where is None or isinstance(where, Filter):
        return where
    if isinstance(where, str):
        read: Filter | None = read_text(where, limits)
    elif isinstance(where, Mapping):
        parts = read_mapping(where, limits)
        read = all_of(parts) if parts else None
    else:
        raise SpecError(f"where: takes a mapping, text or a filter, got {shown(where)}")
    if read is not None:
        limits.require_conditions(sum(1 for _ in conditions(read)))
    return read


def both(one: Where | None, other: Where | None) -> Filter | None:
    """A filter that passes what two of them pass."""
    parts = [read for where in (one, other) if (read := parse_where(where)) is not None]
    return all_of(parts) if parts else None


def matches(where: Filter, metadata: Mapping[str, Any]) -> bool:
    """Whether a document with this metadata passes: slow, short, and what every other way of applying a filter is tested against.

    >>> matches(parse_where('year >= 2020 and not lang = "de"'), {"year": 2024, "lang": ["en", "fr"]})
    True
    """

    def holds(node: Condition) -> bool:
        return any(node.operator.holds(value) for value in members(metadata, node.key))

    return fold(where, condition=holds, all_of=all, any_of=any, negation=not_)
