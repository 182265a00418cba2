"""What an encoder finds by exact search: shared by the scripts that hold encoders beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from benchmarks.make_samples import load
from rag.core.ranking import ranked
from rag.core.trec import Qrels
from rag.core.types import Document, Query, Ranking, ScoredDocument
from rag.evaluate import Evaluation, evaluate
from rag.evaluate.comparison import compare_runs

MEASURE = "nDCG@10"
_DEPTH = 100


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Some documents and judged queries of a set. `whole`: all of them."""

    name: str
    documents: list[Document]
    queries: list[Query]
    qrels: Qrels
    whole: bool


def drawn(name: str, *, documents: int | None = None, queries: int | None = None) -> Drawn:
    """The first queries of a set, what was judged relevant to them, and the first other documents up to a number.

    Fewer documents make every system better, so such figures are to be held against each other alone.
    """
    dataset, judged = load(name)
    asked = dataset.queries_of(judged)[:queries]
    qrels = {query.qid: judged[query.qid] for query in asked}
    wanted = {doc_id for grades in qrels.values() for doc_id, grade in grades.items() if grade > 0}
    everything = list(dataset.documents())
    relevant = [each for each in everything if each.doc_id in wanted]
    others = (each for each in everything if each.doc_id not in wanted)
    room = None if documents is None else max(0, documents - len(relevant))
    chosen = [*relevant, *islice(others, room)]
    return Drawn(
        name=name,
        documents=chosen,
        queries=asked,
        qrels=qrels,
        whole=queries is None and len(chosen) == len(everything),
    )


def nearest(
    drawn: Drawn, documents: NDArray[np.float32], queries: NDArray[np.float32], *, source: str = "dense"
) -> list[Ranking]:
    """The nearest documents of each query. Vectors: float32 [n, dim], in the order of `drawn`."""
    rankings = []
    for query, scores in zip(drawn.queries, queries @ documents.T, strict=True):
        best = np.argsort(-scores, kind="stable")[:_DEPTH]
        hits = ranked(ScoredDocument(document=drawn.documents[row], score=float(scores[row])) for row in best)
        rankings.append(Ranking(query=query, hits=hits, source=source))
    return rankings


def judged(drawn: Drawn, rankings: Sequence[Ranking]) -> Evaluation:
    """How well rankings fit the judgements."""
    return evaluate(rankings, drawn.qrels, [MEASURE])


def beside(systems: Mapping[str, Evaluation], *, to: str) -> dict[str, str]:
    """System -> its difference to one of them: paired randomisation test, corrected over all systems (Holm)."""
    others = {name: one for name, one in systems.items() if name != to}
    return {
        name: f"{one.test.difference:+.4f} [{one.test.low:+.4f}, {one.test.high:+.4f}] p {one.p:.3f}"
        for name, [one] in compare_runs(systems[to], others, measures=[MEASURE]).items()
    }


def texts_of(drawn: Drawn) -> tuple[Sequence[str], Sequence[str]]:
    """Of its documents, as an index keeps them, and of its queries."""
    return [each.index_text for each in drawn.documents], [each.text for each in drawn.queries]
