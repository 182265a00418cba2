"""What scores are worth: relevance learnt with and without labels, and questions declined before any model is asked.

xquad in English, half of whose questions have the passage that they were asked about out of reach. A scale is learnt on one
half of the questions, answerable ones and others alike, and measured on the other half: its mean squared error beside that of
always saying the mean, and its mean distance from the truth in ten equally large bins. Then a least relevance: the largest
that loses the passage of at most 5% of the answerable questions of the first half; on the second half, how many questions
without an answer are left without a hit, and how many others lose their passage.

    python -m plugins.train.benchmarks.relevance [--n 400] [--record]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.record import Record, record
from plugins.train.benchmarks.risk import index_of
from plugins.train.benchmarks.risk_sets import SETS
from rag import Pipeline, load_pipeline
from rag.evaluate import Hits, Item
from rag.types import Query, Ranking
from ragline_train.calibration.calibrate import fitted, judged_hits, own_items, ranked_for
from ragline_train.pseudo import Case
from ragline_train.taught import taught

NODES = ("bm25", "dense", "fused")
DEPTH, LOST = 20, 0.05


def graph(node: str, language: str) -> dict[str, Any]:
    """Both legs and their fusion, up to one of them."""
    fused = {"norm": "z_score", "weights": {"bm25": 0.3, "dense": 0.7}}
    nodes: dict[str, Any] = {
        "bm25": {"use": "retrieve.bm25", "k": 100},
        "dense": {"use": "retrieve.dense", "k": 100},
        "fused": {"use": "fuse.weighted", "in": ["bm25", "dense"], "k": DEPTH, "with": fused},
    }
    kept = nodes if node == "fused" else {node: {**nodes[node], "k": DEPTH}}
    return {"version": 1, "index": {"analyzer": {"language": language}}, "nodes": kept, "output": node}


def truths(ranking: Ranking, item: Item) -> list[float]:
    """1 for each hit that holds the answer."""
    return [float(item.answerable and hit.doc_id in item.supporting) for hit in ranking.hits]


def own_worth(rankings: Sequence[Ranking], items: Sequence[Item], hits: Hits) -> list[float]:
    """Of each answerable question whose passage is found, what that is worth."""
    return [
        hits.scale(hit.score)
        for ranking, item in zip(rankings, items, strict=True)
        for hit, true in zip(ranking.hits, truths(ranking, item), strict=True)
        if true
    ]


def least_of(rankings: Sequence[Ranking], items: Sequence[Item], hits: Hits) -> float:
    """The largest relevance that loses at most so many passages."""
    return float(np.quantile(own_worth(rankings, items, hits), LOST, method="lower"))


def figures(rankings: Sequence[Ranking], items: Sequence[Item], hits: Hits, least: float) -> dict[str, float]:
    """How near the scale is to the truth, and what a least relevance does."""
    said = np.array([hits.scale(hit.score) for ranking in rankings for hit in ranking.hits])
    true = np.array([t for ranking, item in zip(rankings, items, strict=True) for t in truths(ranking, item)])
    bins = np.array_split(np.argsort(said, kind="stable"), 10)
    without = [r for r, item in zip(rankings, items, strict=True) if not item.answerable]
    declined = [all(hits.scale(hit.score) < least for hit in ranking.hits) for ranking in without]
    own = own_worth(rankings, items, hits)
    return {
        "error": float(np.mean((said - true) ** 2)),
        "error of the mean": float(np.mean((true.mean() - true) ** 2)),
        "distance": float(np.mean([abs(said[one].mean() - true[one].mean()) for one in bins])),
        "least": least,
        "declined without an answer": float(np.mean(declined)),
        "lost": float(np.mean([worth < least for worth in own])),
    }


def taught_hits(pipeline: Pipeline, queries: Sequence[Query]) -> Hits:
    """Without labels: the index's lexical and dense leg grade the hits together, the best of each question with 1."""
    assert pipeline.index is not None
    rankings = [ranking for ranking in ranked_for(pipeline, queries) if len(ranking.hits) > 1]
    cases = [
        Case(
            query=ranking.query.root.text,
            candidates=tuple(hit.document for hit in ranking.hits),
            grades=(0.0,) * len(ranking.hits),
        )
        for ranking in rankings
    ]
    grades = [grade / max(case.grades) for case in taught(pipeline.index, cases) for grade in case.grades]
    return fitted(pipeline, rankings, grades, "")


def measured(
    pipeline: Pipeline, first: Sequence[Item], second: Sequence[Item], own: Sequence[Item]
) -> dict[str, dict[str, float]]:
    """Three ways of learning, measured on the second questions: on labels of the first, on what the legs say of the hits for the
    first, and on pseudo-questions of this and of another corpus."""
    judged, asked_itself = (judged_hits(pipeline, items, questions="") for items in (first, own))
    assert judged is not None
    assert asked_itself is not None
    taught = taught_hits(pipeline, [item.query for item in first])
    seen, new = (pipeline.search_batch([item.query for item in items], k=DEPTH) for items in (first, second))
    return {
        name: figures(new, second, hits, least_of(seen, first, hits))
        for name, hits in (("labels", judged), ("legs", taught), ("itself", asked_itself))
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    arguments.add_argument("--n", type=int, default=400, help="questions")
    arguments.add_argument("--record", action=Record, help="append to results/relevance.jsonl")
    given = arguments.parse_args()
    one = SETS["xquad"](given.n)
    items = [replace(a.item, more={**a.item.more, "where": a.query.where}) for a in one.asked]
    halves = [[item for place, item in enumerate(items) if place // 2 % 2 == half] for half in (0, 1)]
    found: dict[str, Any] = {}
    other = SETS["clapnq"](2)
    with index_of(one, graph("fused", "en")) as index, index_of(other, graph("fused", "en")) as elsewhere:
        own = own_items(index, elsewhere, n=given.n // 2)
        for node in NODES:
            with load_pipeline(graph(node, one.language), index=index) as pipeline:
                found[node] = measured(pipeline, *halves, own)
            for name, f in found[node].items():
                print(f"{node:<6} by {name:<7} " + "  ".join(f"{what} {value:.3f}" for what, value in f.items()))
    if given.record:
        record("relevance", {"set": "xquad", "n": len(items), "lost": LOST, "depth": DEPTH, "nodes": found})


if __name__ == "__main__":
    main()
