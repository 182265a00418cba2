"""Order, cuts and groups of hits, by their short name."""

from rag.core.norms import min_max
from rag.core.ranking import by_qid, completed, in_this_order, ranked, ranked_before, require_k, split_at

__all__ = ["by_qid", "completed", "in_this_order", "min_max", "ranked", "ranked_before", "require_k", "split_at"]
