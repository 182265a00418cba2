"""AllRelevant@k: is everything that a query needs among the first k?

The measure of tool retrieval, where one missing tool spoils the request; COMP@k in ToolLens (Qu et al., CIKM 2024, arXiv
2405.16089). ir_measures has no such measure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AllRelevant:
    """1 for a query whose documents of grade 1 and above are all among the first `cutoff`, else 0; None: the whole list."""

    cutoff: int | None = None

    def __str__(self) -> str:
        return "AllRelevant" if self.cutoff is None else f"AllRelevant@{self.cutoff}"

    def of_query(self, doc_ids: Sequence[str], grades: Mapping[str, int]) -> float:
        """The value of one query, its documents given in rank order."""
        return float({doc_id for doc_id, grade in grades.items() if grade > 0} <= set(doc_ids[: self.cutoff]))
