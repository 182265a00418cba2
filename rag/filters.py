"""Metadata filters, by their short name."""

from rag.core.filters import OPERATORS, Filter, Operator, as_mapping, asked_by, fold, matches, parse_where, parted

__all__ = ["OPERATORS", "Filter", "Operator", "as_mapping", "asked_by", "fold", "matches", "parse_where", "parted"]
