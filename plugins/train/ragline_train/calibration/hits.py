"""What the scores of a graph's last ranking node are worth, learnt from questions whose documents are known.

Without labels, a corpus knows the documents of the questions that it asks itself (`ragline_train.own_questions`). What the
legs of an index say of the hits of people's questions is no substitute: plugins.train.benchmarks.relevance measures that.
"""

from __future__ import annotations

from collections.abc import Sequence

from rag import Pipeline
from rag.errors import SpecError
from rag.evaluate import Hits, Item
from rag.types import Query, Ranking
from ragline_train.calibration.fitting import fit_scale

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
    rankings = ranked_for(pipeline, [item.query for item in labelled])
    grades = [
        float(not supporting[ranking.qid].isdisjoint({hit.doc_id, hit.document.parent}))
        for ranking in rankings
        for hit in ranking.hits
    ]
    return fitted(pipeline, rankings, grades, f"{questions}, by their supporting documents")


def ranked_for(pipeline: Pipeline, queries: Sequence[Query]) -> list[Ranking]:
    """The first hits of each question that scores are learnt from."""
    ranked = pipeline.search_batch(queries)
    return [Ranking(query=one.query, hits=one.hits[:_DEPTH]) for one in ranked]


def fitted(pipeline: Pipeline, rankings: Sequence[Ranking], grades: Sequence[float], questions: str) -> Hits:
    """The scale of these hits' scores.

    Args:
        grades: of every hit of every ranking, from 0 to 1, in order.
    Raises:
        SpecError: there is no hit.
    """
    scores = [hit.score for ranking in rankings for hit in ranking.hits]
    if not scores:
        raise SpecError("nothing was found for any question, so there are no scores to learn from")
    return Hits(node=pipeline.graph.last_ranking(), questions=questions, scale=fit_scale(scores, grades))
