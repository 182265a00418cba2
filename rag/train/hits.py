"""What the scores of a graph's last ranking node are worth: learnt from questions, with labels or without."""

from __future__ import annotations

from collections.abc import Sequence

from rag.core.errors import SpecError
from rag.core.types import Query, Ranking
from rag.evaluate.beir import Item
from rag.pipeline import Pipeline
from rag.stages.risk.calibration import Hits
from rag.stages.risk.relevance import fit_scale
from rerankers.attention.finding.pseudo import Case
from rerankers.attention.finding.taught import taught

_DEPTH = 20
"""Hits of each question that are looked at."""


def judged_hits(pipeline: Pipeline, items: Sequence[Item], *, questions: str) -> Hits | None:
    """By labels: a hit that is a supporting document, or a part of one, is worth 1, all others 0. None where nothing is labelled.

    A question without an answer has no relevant hit.
    """
    labelled = [item for item in items if item.supporting or not item.answerable]
    if not any(item.answerable for item in labelled):
        return None
    supporting = {item.qid: frozenset(item.supporting if item.answerable else ()) for item in labelled}
    rankings = _ranked(pipeline, [item.query for item in labelled])
    grades = [
        float(not supporting[ranking.qid].isdisjoint({hit.doc_id, hit.document.parent}))
        for ranking in rankings
        for hit in ranking.hits
    ]
    return _fit(pipeline, rankings, grades, f"{questions}, by their supporting documents")


def taught_hits(pipeline: Pipeline, queries: Sequence[Query], *, questions: str) -> Hits:
    """Without labels: the index's lexical and dense leg grade the hits together, the best of each question with 1.

    Raises:
        IndexMismatch: the index lacks one of the legs.
    """
    assert pipeline.index is not None
    rankings = [ranking for ranking in _ranked(pipeline, queries) if len(ranking.hits) > 1]
    cases = [
        Case(
            query=ranking.query.root.text,
            candidates=tuple(hit.document for hit in ranking.hits),
            grades=(0.0,) * len(ranking.hits),
        )
        for ranking in rankings
    ]
    grades = [grade / max(case.grades) for case in taught(pipeline.index, cases) for grade in case.grades]
    return _fit(pipeline, rankings, grades, f"{questions}, graded by the index's lexical and dense leg")


def _ranked(pipeline: Pipeline, queries: Sequence[Query]) -> list[Ranking]:
    ranked = pipeline.search_batch(queries)
    return [Ranking(query=one.query, hits=one.hits[:_DEPTH]) for one in ranked]


def _fit(pipeline: Pipeline, rankings: Sequence[Ranking], grades: Sequence[float], questions: str) -> Hits:
    scores = [hit.score for ranking in rankings for hit in ranking.hits]
    if not scores:
        raise SpecError("nothing was found for any question, so there are no scores to learn from")
    return Hits(node=pipeline.graph.last_ranking(), questions=questions, scale=fit_scale(scores, grades))
