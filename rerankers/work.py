"""One ranking while it is reranked: its documents, what its calls cost, and what became of them."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from rag.core.ranking import in_this_order, ranked_before, split_at
from rag.core.types import OK, Document, Outcome, Ranking, Usage

logger = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True, eq=False)
class Work:
    """`documents` are to be reranked, each once, in first-stage order; `rest` follows them as it is."""

    ranking: Ranking
    documents: list[Document]
    rest: list[Document]
    counts: Counter[str] = field(default_factory=Counter)
    usage: Usage = field(default_factory=Usage)
    first_bad: str = ""

    @classmethod
    def of(cls, ranking: Ranking, depth: int | None) -> Work:
        head, rest = split_at(ranking, depth)
        return cls(ranking=ranking, documents=[hit.document for hit in head], rest=[hit.document for hit in rest])

    def note(self, kind: str, *, bad: str = "", **counts: int) -> None:
        """One more call of this kind: ok, repaired or fallback. `bad` tells what a reply of the last kind was."""
        self.counts.update({"calls": 1, kind: 1, **counts})
        if kind == "fallback" and not self.first_bad:
            self.first_bad = bad

    def in_order(self, order: Sequence[int], *, k: int) -> Ranking:
        """The documents in this order, with scores of 1 / rank."""
        documents = [self.documents[item] for item in order]
        return replace(
            self.ranking, hits=in_this_order(documents + self.rest, k=k), outcome=self.outcome(), usage=self.usage
        )

    def by_score(self, scores: Sequence[float], *, k: int) -> Ranking:
        """The documents by score, the rest with falling scores below.

        A score that is not finite says that the model broke down: then the order is the input's, with scores of
        1 / rank.
        """
        if not all(map(math.isfinite, scores)):
            broken = sum(not math.isfinite(score) for score in scores)
            self.counts.update({"fallback": broken, "ok": -broken})
            self.first_bad = self.first_bad or "a score that is not finite"
            return self.in_order(range(len(scores)), k=k)
        hits = ranked_before(self.documents, scores, self.rest)
        return replace(self.ranking, hits=hits[:k], outcome=self.outcome(), usage=self.usage)

    def outcome(self) -> Outcome:
        """The worst of the calls, with counts of all."""
        counts = {name: n for name, n in self.counts.items() if n}
        calls, fallback, repaired = (self.counts[name] for name in ("calls", "fallback", "repaired"))
        if fallback:
            detail = f"{fallback} of {calls} calls unusable, input order kept there; first: {self.first_bad}"
            return Outcome(kind="fallback", detail=detail, counts=counts)
        if repaired:
            return Outcome(kind="repaired", detail=f"{repaired} of {calls} replies mended", counts=counts)
        return Outcome(counts=counts) if counts else OK


def warn(works: Sequence[Work], *, by: str) -> None:
    """One warning for the batch, if any call was unusable."""
    bad = [work for work in works if work.counts["fallback"]]
    if bad:
        logger.warning(
            "%s: %d of %d calls unusable (%d replies cut off); input order kept there; first: qid %r, %s",
            by,
            sum(work.counts["fallback"] for work in works),
            sum(work.counts["calls"] for work in works),
            sum(work.counts["cut_off"] for work in works),
            bad[0].ranking.qid,
            bad[0].first_bad,
        )
