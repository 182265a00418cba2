"""Plain strings through a reranker, no index needed."""

from __future__ import annotations

from collections.abc import Sequence

from rag.core.protocols import Reranker
from rag.core.ranking import in_this_order
from rag.core.types import Document, Query, Ranking


def ranked_by(reranker: Reranker, query: str, texts: Sequence[str]) -> list[tuple[int, float]]:
    """(position in `texts`, score), best first. Texts are taken to be in first-stage order, best first."""
    if not texts:
        return []
    documents = [Document(doc_id=f"{i:09d}", text=text) for i, text in enumerate(texts)]
    ranking = Ranking(query=Query(qid="query", text=query), hits=in_this_order(documents))
    (reranked,) = reranker.rerank([ranking], k=len(texts))
    return [(int(hit.doc_id), hit.score) for hit in reranked.hits]
