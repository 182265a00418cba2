"""Metadata filters: which documents a query may see, as an expression that every leg and every index can apply.

`parse_where` is the one front door: it takes a mapping, text or a filter. A filter is a frozen tree of `Condition`, `AllOf`,
`AnyOf` and `Not`; `fold` walks it, so that it can be turned into whatever an index understands. `matches` says in plain Python
what a filter means. `OPERATORS` is the table of what a condition can ask. The guide is docs/filters.md.
"""

from rag.core.filters.limits import ANY_SIZE, REQUEST, Limits
from rag.core.filters.nodes import AllOf, AnyOf, Condition, Filter, Not, Operator, conditions, fold
from rag.core.filters.operators import OPERATORS
from rag.core.filters.reading import Where, WhereData, both, matches, parse_where
from rag.core.filters.scope import (
    NewestOf,
    ReadableBy,
    added,
    asked_by,
    newest_of,
    parted,
    readers_of,
    scope_of,
)
from rag.core.filters.structured import as_mapping
from rag.core.filters.text import as_text
from rag.core.filters.values import Value

__all__ = [
    "ANY_SIZE",
    "OPERATORS",
    "REQUEST",
    "AllOf",
    "AnyOf",
    "Condition",
    "Filter",
    "Limits",
    "NewestOf",
    "Not",
    "Operator",
    "ReadableBy",
    "Value",
    "Where",
    "WhereData",
    "added",
    "as_mapping",
    "as_text",
    "asked_by",
    "both",
    "conditions",
    "fold",
    "matches",
    "newest_of",
    "parse_where",
    "parted",
    "readers_of",
    "scope_of",
]
