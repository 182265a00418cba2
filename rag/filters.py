"""Metadata filters, by their short name."""

from rag.core.filters import OPERATORS, Filter, Operator, as_mapping, fold, matches, parse_where

__all__ = ["OPERATORS", "Filter", "Operator", "as_mapping", "fold", "matches", "parse_where"]
