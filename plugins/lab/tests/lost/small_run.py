"""A run of three queries in which every label comes once, worked by hand, with k = 2.

q1: `f` is first of bm25 and fifth when fused: it fell there. `u` is nowhere among the first two, and sixth when fused, where
`ranked` passes on four: it was cut there. `c` is the first of `ranked`, but not shown. `b` is shown and not cited, `a` is
cited. Nobody finds `n`.
q2: `t` stands third after every node; `ranked` looks at three, so it could have come up. Nothing is shown.
q3: fails at `dense` after bm25 found `g`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rag.evaluate import Evaluation, RunFile, Trail, Trails, write_per_query
from rag.evaluate.trails import write_trails

K = 2

GRAPH: dict[str, Any] = {
    "version": 1,
    "models": {"small": {"use": "llm.scripted"}},
    "nodes": {
        "bm25": {"use": "retrieve.bm25", "in": "query", "k": 4},
        "dense": {"use": "retrieve.dense", "in": "query", "k": 4},
        "fused": {"use": "fuse.rrf", "in": ["bm25", "dense"], "k": 6},
        "ranked": {"use": "rerank.listwise", "in": "fused", "k": 4, "with": {"llm": "small", "depth": 3}},
        "context": {"use": "assemble.token_budget", "in": "ranked", "with": {"llm": "small"}},
        "answer": {"use": "generate.cited", "in": "context", "with": {"llm": "small"}},
        "checked": {"use": "check.words", "in": "answer"},
    },
    "output": "checked",
}

FIRST = Trail(
    qid="q1",
    question="the first question",
    nodes={
        "bm25": (("f", "a", "c", "x"),),
        "dense": (("a", "b", "c", "u"),),
        "fused": (("a", "c", "b", "x", "f", "u"),),
        "ranked": (("c", "a", "b", "x"),),
    },
    shown=("a", "b"),
    cited=("a",),
)
SECOND = Trail(
    qid="q2",
    question="the second question",
    nodes={
        "bm25": (("x", "y", "t"),),
        "dense": (("y", "x"),),
        "fused": (("x", "y", "t"),),
        "ranked": (("y", "x", "t"),),
    },
    shown=(),
)
THIRD = Trail(qid="q3", question="the third question", nodes={"bm25": (("g",),)}, failed="dense")

TRAILS_OF_ALL = Trails(depths={"ranked": 3}, queries=(FIRST, SECOND, THIRD))
QRELS = {"q1": {"a": 2, "b": 1, "c": 1, "f": 1, "u": 1, "n": 1, "x": 0}, "q2": {"t": 1}, "q3": {"g": 1}}


def data_set(folder: Path, qrels: dict[str, dict[str, int]] = QRELS, texts: dict[str, str] | None = None) -> Path:
    """The judgements and questions as a BEIR folder."""
    (folder / "qrels").mkdir(parents=True)
    asked = texts or {trail.qid: trail.question for trail in TRAILS_OF_ALL.queries}
    lines = "".join(json.dumps({"_id": qid, "text": text}) + "\n" for qid, text in asked.items())
    (folder / "queries.jsonl").write_text(lines)
    rows = [f"{qid}\t{document}\t{grade}\n" for qid, grades in qrels.items() for document, grade in grades.items()]
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(rows))
    return folder


def run_folder(folder: Path, trails: Trails = TRAILS_OF_ALL, graph: dict[str, Any] | None = None) -> Path:
    """What `rag eval` leaves, as far as the lab reads it; the one measure is 1 where a document was cited."""
    folder.mkdir(parents=True)
    write_trails(trails, folder / RunFile.TRAILS)
    (folder / "graph.json").write_text(json.dumps(graph or GRAPH))
    (folder / "report.json").write_text(json.dumps({"graph": "small", "queries": len(trails.queries)}))
    values = {"CitationRecall": {trail.qid: float(bool(trail.cited)) for trail in trails.queries}}
    mean = sum(values["CitationRecall"].values()) / len(trails.queries)
    measured = Evaluation(measures={"CitationRecall": mean}, per_query=values, n_queries=len(trails.queries))
    write_per_query(measured, folder / "per_query.csv")
    return folder
