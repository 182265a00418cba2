"""What a filter means, in plain Python: slow, short, and what every other way of applying a filter is tested against."""

from __future__ import annotations

from collections.abc import Mapping
from operator import not_
from typing import Any

from rag.core.filters.nodes import Condition, Filter, fold
from rag.core.filters.values import members


def matches(where: Filter, metadata: Mapping[str, Any]) -> bool:
    """Whether a document with this metadata passes.

    >>> from rag.core.filters import parse_where
    >>> matches(parse_where('year >= 2020 and not lang = "de"'), {"year": 2024, "lang": ["en", "fr"]})
    True
    """

    def holds(node: Condition) -> bool:
        return any(node.operator.holds(value) for value in members(metadata, node.key))

    return fold(where, condition=holds, all_of=all, any_of=any, negation=not_)
