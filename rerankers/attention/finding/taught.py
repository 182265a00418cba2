"""A teacher of heads where nothing is judged: what the index's own legs say of the candidates, together.

A query drawn from one document says little of the other candidates, and some of those are as good. So the lexical and
the dense leg grade all of them. Heads that agree with both have learned what the two have in common, without labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rag.core.types import Query
from rerankers.attention.finding.pseudo import Case
from rerankers.attention.reading.weigh import fused
from retrievers.legs.dense.search import dense

if TYPE_CHECKING:
    from retrievers.index_protocol import Index

LEXICAL = 0.3
"""Weight of the lexical leg beside the dense one, both standardised: that of the built-in graph `hybrid`."""
TEMPERATURE = 0.5
"""Standard deviations by which a document must lead for e times the share."""
_LOOKED_AT = 10  # times as many hits as there are candidates, so that nearly each of them has its lexical score


def taught(index: Index, cases: Sequence[Case]) -> list[Case]:
    """The cases, with the legs' opinion as grades: a share of 1 for every candidate, 0 for less than an even share.

    Raises:
        IndexMismatch: the index lacks one of the legs.
    """
    dense, lexical = _dense(index, cases), _lexical(index, cases)
    lessons = []
    for case, by_vector, by_words in zip(cases, dense, lexical, strict=True):
        shares = _shares(fused(by_vector, by_words, weight=LEXICAL))
        lessons.append(
            replace(case, grades=tuple(np.where(shares >= 1 / len(shares), shares, 0.0).tolist()), taught=True)
        )
    return lessons


def _shares(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    exponents = np.exp((scores - scores.max()) / TEMPERATURE)
    result: NDArray[np.float64] = exponents / exponents.sum()
    return result


def _dense(index: Index, cases: Sequence[Case]) -> list[NDArray[np.float64]]:
    queries = dense(index).encoder.encode([case.query for case in cases], role="query")
    rows = [np.array([index.documents.row(each.doc_id) for each in case.candidates]) for case in cases]
    return [
        (dense(index).vectors(case_rows) @ query).astype(np.float64)
        for case_rows, query in zip(rows, queries, strict=True)
    ]


def _lexical(index: Index, cases: Sequence[Case]) -> list[NDArray[np.float64]]:
    """BM25's scores; a candidate that is not among the hits has that of the last one."""
    from retrievers.legs.lexical.retriever import BM25Retriever

    queries = [Query(qid=str(number), text=case.query) for number, case in enumerate(cases)]
    k = _LOOKED_AT * max((len(case.candidates) for case in cases), default=1)
    scores = []
    for ranking, case in zip(BM25Retriever(index=index).retrieve(queries, k=k), cases, strict=True):
        known = {hit.doc_id: hit.score for hit in ranking.hits}
        least = min(known.values(), default=0.0)
        scores.append(np.array([known.get(each.doc_id, least) for each in case.candidates]))
    return scores
