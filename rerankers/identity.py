"""The reranker that changes nothing: the baseline of every comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from rag.core.contents import ANY
from rag.core.ranking import require_k
from rag.core.types import NO_USAGE, OK, Ranking


class IdentityReranker:
    """Returns its input, cut at k: order and scores stay those of the stage before."""

    reads: ClassVar[frozenset[str]] = ANY

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        """The same rankings, at most `k` hits each."""
        require_k(k, by="rerank.identity")
        return [replace(ranking, hits=ranking.hits[:k], outcome=OK, usage=NO_USAGE) for ranking in rankings]
