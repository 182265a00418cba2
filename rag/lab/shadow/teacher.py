"""Grades of hits where nobody judged: a reranker reads what either index found, and its first three count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rag.core.trec import Qrels
from rag.core.types import Query, ScoredDocument
from rag.pipeline.texts import rerank_texts

GRADES = (3, 2, 1)
"""Of the teacher's first, second and third."""


def teacher_grades(
    queries: Sequence[Query],
    pools: Mapping[str, Sequence[Sequence[ScoredDocument]]],
    *,
    use: str,
) -> Qrels:
    """qid -> doc_id -> grade. A query that found nothing has none.

    The teacher is given the hits of all lists together, each once, in the order of their ids: it cannot know which list
    one is of, nor where it stood.

    Args:
        pools: qid -> the lists that were found.
        use: a reranker, as `rag.rerank_texts` takes it.
    """
    grades: Qrels = {}
    for query in queries:
        documents = {hit.doc_id: hit.document for hits in pools.get(query.qid, ()) for hit in hits}
        ids = sorted(documents)
        if ids:
            order = rerank_texts(query.text, [documents[each].index_text for each in ids], use=use)
            grades[query.qid] = {ids[place]: grade for (place, _), grade in zip(order, GRADES, strict=False)}
    return grades
