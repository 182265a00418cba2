"""How good a run is, and whether a difference between two is more than luck."""

from rag.evaluate.measures import Evaluation, document_order, evaluate, parse_measures
from rag.evaluate.report import results, write_per_query, write_results
from rag.evaluate.significance import Significance, compare, holm, paired_randomisation

__all__ = [
    "Evaluation",
    "Significance",
    "compare",
    "document_order",
    "evaluate",
    "holm",
    "paired_randomisation",
    "parse_measures",
    "results",
    "write_per_query",
    "write_results",
]
