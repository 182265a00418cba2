"""Cross-encoder reranking: a trained classifier reads query and passage together."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

import numpy as np

from rag.core.arguments import require_positive
from rag.core.errors import SpecError
from rag.core.ranking import require_k
from rag.core.types import Ranking, Usage
from rerankers.attention.reading.weigh import standardised
from rerankers.pair_classifier import PairClassifier, ReadsPairs
from rerankers.work import Work, warn


class CrossEncoderReranker(ReadsPairs):
    """Any sequence-classification checkpoint of transformers (monoBERT: Nogueira and Cho, 2019, arXiv 1901.04085).

    Query and passage are read as one pair; where it would be too long, the longer of the two is cut. The score is the
    logit of a model with one label, and the log-odds of the second label of a model with two. Pairs of all rankings are
    batched by length. Weights load at the first call; code that a folder brings along is never run. Tests run it
    with random weights of small sizes; no figure of a trained checkpoint is given here.

    Args:
        model: a folder, or a hub id.
        revision: commit, branch or tag of a hub model.
        device: auto, cpu, cuda or cuda:N; auto takes a GPU where there is one.
        max_tokens: tokens of query and passage together, or the model's own limit where that is less.
        max_batch_tokens: most tokens, padding included, that one batch holds.
        depth: how many of a ranking's first hits are reranked; the others follow with falling scores. None: all.
        first_stage: times that the standardised score which a hit came with is added to the model's. 1 for a model that was
            taught to mend that order (`rag train reranker`), 0 for one that was taught to judge alone.
    """

    def __init__(
        self,
        *,
        model: str,
        revision: str | None = None,
        device: str = "auto",
        max_tokens: int = 512,
        max_batch_tokens: int = 8192,
        depth: int | None = None,
        first_stage: float = 0.0,
    ) -> None:
        require_positive("rerank.cross_encoder", depth=depth)
        if not 0 <= first_stage < np.inf:
            raise ValueError(f"rerank.cross_encoder: first_stage must be 0 or a number above, got {first_stage:g}")
        self.depth, self.first_stage = depth, first_stage
        self._classifier = PairClassifier(
            model=model,
            revision=revision,
            device=device,
            max_tokens=max_tokens,
            max_batch_tokens=max_batch_tokens,
            by="rerank.cross_encoder",
        )

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        """Documents by the model's score, at most `k`, best first."""
        require_k(k, by="rerank.cross_encoder")
        works = [Work.of(ranking, self.depth) for ranking in rankings]
        pairs = [(work, document.full_text) for work in works for document in work.documents]
        started = perf_counter()
        scored = self._scores([(work.ranking.query.text, text) for work, text in pairs]) if pairs else []
        seconds = (perf_counter() - started) / max(1, len(pairs))
        scores: dict[Work, list[float]] = {work: [] for work in works}
        for (work, _), (score, tokens) in zip(pairs, scored, strict=True):
            scores[work].append(score)
            work.note("ok")
            work.usage += Usage(calls=1, prompt_tokens=tokens, seconds=seconds)
        reranked = [work.by_score(self._mixed(work, scores[work]), k=k) for work in works]
        warn(works, by="rerank.cross_encoder")
        return reranked

    def _mixed(self, work: Work, scores: list[float]) -> list[float]:
        if not self.first_stage or not scores:
            return scores
        given = {hit.doc_id: hit.score for hit in work.ranking.hits}
        first = standardised(np.array([given[document.doc_id] for document in work.documents], dtype=np.float64))
        return [score + self.first_stage * float(each) for score, each in zip(scores, first, strict=True)]

    def warm_up(self) -> None:
        """Load now instead of at the first call."""
        self._require_one_score()

    def _scores(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, int]]:
        """Score and number of tokens of each pair."""
        self._require_one_score()
        return [(each.logits[-1] - sum(each.logits[:-1]), each.tokens) for each in self._classifier.logits(pairs)]

    def _require_one_score(self) -> None:
        n = len(self._classifier.labels())
        if n not in (1, 2):
            raise SpecError(
                f"rerank.cross_encoder: '{self._classifier.name}' has {n} labels; a reranker has one, or two of which the"
                " second says relevant"
            )
