"""Hits with their calibrated relevance, and without those that have too little of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from rag.core.arguments import require_share
from rag.core.contents import ANY
from rag.core.inputs import input_file
from rag.core.ranking import require_k
from rag.core.types import NO_USAGE, OK, Outcome, Ranking
from rag.stages.risk.calibration import Calibration, load_calibration


class RelevanceReranker:
    """The same order, with what each score is worth beside it, and hits below a least relevance left out.

    A score means something only beside others of its ranking. `rag calibrate` learns from questions what scores of a node
    were worth: relevance from 0 to 1, which never rises from a hit to the next. Where no hit is worth enough, a generator
    gets no passage and declines without asking its model.

    Args:
        calibration: a file of `rag calibrate`, made for this graph without this node.
        least: hits of less relevance are left out, from 0 to 1.
    """

    of_answers: ClassVar[bool] = False
    leaves_out: ClassVar[tuple[str, ...]] = ("below_relevance",)
    reads: ClassVar[frozenset[str]] = ANY

    def __init__(self, *, calibration: str, least: float = 0.0) -> None:
        require_share("rerank.relevance", least=least)
        self.calibration: Calibration = load_calibration(
            input_file(calibration, what="calibration", by="rerank.relevance")
        )
        if self.calibration.hits is None:
            raise ValueError(f"rerank.relevance: '{calibration}' says nothing of hits; run rag calibrate again")
        self.least, self._scale = least, self.calibration.hits.scale

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        """The first hits that are worth enough, at most `k`. Outcome counts: hits `below_relevance`."""
        require_k(k, by="rerank.relevance")
        return [self._worth(ranking, k) for ranking in rankings]

    def _worth(self, ranking: Ranking, k: int) -> Ranking:
        hits = [replace(hit, relevance=self._scale(hit.score)) for hit in ranking.hits]
        kept = [hit for hit in hits if hit.relevance is not None and hit.relevance >= self.least]
        below = len(hits) - len(kept)
        outcome = Outcome(counts={"below_relevance": below}) if below else OK
        return replace(ranking, hits=tuple(kept[:k]), outcome=outcome, usage=NO_USAGE)
