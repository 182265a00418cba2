"""Metadata filters, by their short name."""

from rag.core.filters import (
    OPERATORS,
    Filter,
    Operator,
    WhereData,
    as_mapping,
    asked_by,
    both,
    fold,
    matches,
    parse_where,
    parted,
)

__all__ = [
    "OPERATORS",
    "Filter",
    "Operator",
    "WhereData",
    "as_mapping",
    "asked_by",
    "both",
    "fold",
    "matches",
    "parse_where",
    "parted",
]
