"""Reranking by a second encoder: its vectors of the question and of the first documents, read now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from rag.core.arguments import require_one_of, require_positive, require_share
from rag.core.memory import Need
from rag.core.ranking import require_k
from rag.core.types import NO_USAGE, OK, Ranking, Usage
from rag.models import locate
from rerankers.attention.reading.weigh import fused
from rerankers.work import Work
from retrievers.encoders.kinds import Requested
from retrievers.encoders.sentence_encoder import SentenceEncoder
from retrievers.index_protocol import Index
from retrievers.stores.lru_cache import Kept

_KEPT = 32 << 20
"""Bytes of vectors of the documents that were read last."""
_LONG = " ".join(["warm"] * 400)
"""As documents are: an encoder may read short texts by other means, which are ready sooner."""


class CosineReranker:
    """Documents by the closeness of an encoder's vectors, and by the scores that they came with (ours).

    It pays where the first stage has searched by another encoder: two that were taught differently err differently. So
    where the index has a leg of this model, the order stays as it is, and nothing is read.

    Args:
        index: the index that the documents are of; without one they are read in any case.
        model: a packaged name, a folder, or a hub id of a sentence encoder.
        revision: commit, branch or tag of a hub model.
        compute: float32 or bfloat16; auto takes bfloat16 where the processor multiplies in it.
        depth: how many of a ranking's first hits are read; null reads all.
        first_stage_weight: share of the scores that the hits came with, from 0 to 1; both are standardised.
    """

    def __init__(
        self,
        *,
        index: Index | None = None,
        model: str = "multilingual-e5-small",
        revision: str | None = None,
        compute: Requested = "auto",
        depth: int | None = 20,
        first_stage_weight: float = 0.5,
    ) -> None:
        require_one_of("rerank.cosine", get_args(Requested), compute=compute)
        require_positive("rerank.cosine", depth=depth)
        require_share("rerank.cosine", first_stage_weight=first_stage_weight)
        self.depth, self.first_stage_weight, self._index = depth, first_stage_weight, index
        self._encoder = SentenceEncoder(model=model, revision=revision, compute=compute)
        self._kept = Kept[NDArray[np.float32]](_KEPT, lambda vector: vector.nbytes)

    @property
    def model_names(self) -> tuple[tuple[str, str | None], ...]:
        """Its model and hub revision."""
        return () if self._in_index else ((self._encoder.model, self._encoder.revision),)

    @property
    def _in_index(self) -> bool:
        index = self._index
        return index is not None and self._encoder.model in dict(index.model_names(index.legs))

    def computes_in(self) -> str:
        """The data type that `auto` stands for here; empty while the model is not here."""
        here = locate(self._encoder.model, revision=self._encoder.revision)
        return "" if here is None else str(self._encoder.describe()["compute"])

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        """Documents by both scores, at most `k`, best first; those that are not read follow with falling scores."""
        require_k(k, by="rerank.cosine")
        if self._in_index:
            return [replace(ranking, hits=ranking.hits[:k], outcome=OK, usage=NO_USAGE) for ranking in rankings]
        works = [Work.of(ranking, self.depth) for ranking in rankings]
        started = perf_counter()
        texts = [document.full_text for work in works for document in work.documents]
        # Documents first: what reads a lone query without torch is not loaded where torch is needed anyway.
        vectors = iter(self._kept.many(texts, lambda places: self._read([texts[place] for place in places])))
        queries = self._encoder.encode([work.ranking.query.text for work in works], role="query")
        reranked = []
        for work, query in zip(works, queries, strict=True):
            close = np.array([next(vectors) @ query for _ in work.documents], dtype=np.float64)
            given = {hit.doc_id: hit.score for hit in work.ranking.hits}
            first = np.array([given[document.doc_id] for document in work.documents], dtype=np.float64)
            scores = fused(close, first, weight=self.first_stage_weight) if len(close) else close
            work.usage += Usage(seconds=(perf_counter() - started) / len(works))
            reranked.append(work.by_score(scores.tolist(), k=k))
        return reranked

    def _read(self, texts: list[str]) -> Sequence[NDArray[np.float32]]:
        return [*self._encoder.encode(texts, role="document")]

    def warm_up(self) -> None:
        """Load now instead of at the first call, where it is to be used."""
        if not self._in_index:
            self._encoder.encode([_LONG], role="document")

    def memory(self) -> list[Need]:
        """Weights, and batches of the model; nothing where it is not used.

        Raises:
            MissingModel: the model is not here yet.
        """
        return [] if self._in_index else self._encoder.memory()

    def release(self) -> None:
        """Let go of the weights; the next call loads them again."""
        self._encoder.release()
