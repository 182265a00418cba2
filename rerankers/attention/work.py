"""One ranking on its way through the attention reranker."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from rag.core.ranking import ranked_before, split_at
from rag.core.types import NO_USAGE, OK, Outcome, Ranking, ScoredDocument, Usage
from rerankers.attention.reading.weigh import Scores


@dataclass(kw_only=True)
class AttentionWork:
    """What became of one ranking. Without scores it keeps its input order."""

    ranking: Ranking
    head: tuple[ScoredDocument, ...]
    rest: tuple[ScoredDocument, ...]
    scores: Scores = field(default_factory=lambda: np.empty(0))
    usage: Usage = NO_USAGE
    trouble: str = ""
    prompt_outcome: Outcome | None = None
    cut_query: bool = False
    cut_documents: int = 0
    out_of_time: bool = False

    @classmethod
    def of(cls, ranking: Ranking, depth: int | None) -> AttentionWork:
        head, rest = split_at(ranking, depth)
        return cls(ranking=ranking, head=head, rest=rest)

    def result(self, k: int) -> Ranking:
        if self.trouble or not len(self.scores):
            return replace(self.ranking, hits=(*self.head, *self.rest)[:k], outcome=self.outcome(), usage=self.usage)
        documents = [hit.document for hit in (*self.head, *self.rest)]
        n = len(self.scores)
        hits = ranked_before(documents[:n], self.scores.tolist(), documents[n:])
        return replace(self.ranking, hits=hits[:k], outcome=self.outcome(), usage=self.usage)

    def outcome(self) -> Outcome:
        if self.prompt_outcome is not None:
            return self.prompt_outcome
        if self.trouble:
            return Outcome(kind="fallback", detail=f"{self.trouble}; input order kept", counts={"fallback": 1})
        counts = {"read": len(self.scores)} if 0 < len(self.scores) < len(self.head) else {}
        if self.cut_documents:  # as max_tokens asks for: no repair, but worth counting
            counts["cut"] = self.cut_documents
        troubles = []
        if self.cut_query:
            troubles.append("query cut")
        if self.out_of_time:
            troubles.append(f"time ran out: {len(self.scores)} of {len(self.head)} candidates read")
        if troubles:
            return Outcome(kind="repaired", detail="; ".join(troubles), counts=counts)
        return Outcome(counts=counts) if counts else OK
