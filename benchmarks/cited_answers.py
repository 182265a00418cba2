"""Cited answers on 100 clapnq items: valid markers, removed markers, refusals on answerable and unanswerable questions.

The built-in graph `ask` over the set's passages. Half of the questions can be answered from their passage, half cannot; the
items are a committed list (benchmarks/samples/clapnq.json). `--split tune` takes 40 others, for choosing prompts. Shares come
with 95% bootstrap intervals. Needs the folder that RAGLINE_EVAL_DATA names.

    python -m benchmarks.cited_answers [--limit N] [--split report|tune] [--graph ask] [--prompt answer_cited] [--record]
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks.make_samples import SAMPLES, data_folder
from benchmarks.record import record
from rag.core.types import Answer
from rag.evaluate.beir import Item, load_beir
from rag.evaluate.graph_evaluation import cached_index
from rag.graph.build import build
from rag.graph.load import load_spec
from rag.graph.spec import GraphSpec, Node
from rag.pipeline import Pipeline

SAMPLE = SAMPLES / "clapnq.json"
SEED, REPORT, TUNE = 20260, 50, 20


def draw(items: Sequence[Item]) -> dict[str, list[str]]:
    """qids of the two splits: as many answerable as unanswerable ones in each, none in both."""
    chosen: dict[str, list[str]] = {"report": [], "tune": []}
    for answerable in (True, False):
        qids = sorted(item.qid for item in items if item.answerable is answerable)
        random.Random(f"{SEED}:clapnq:{answerable}").shuffle(qids)
        chosen["report"] += qids[:REPORT]
        chosen["tune"] += qids[REPORT : REPORT + TUNE]
    return {name: sorted(qids, key=lambda qid: (len(qid), qid)) for name, qids in chosen.items()}


def share(answers: Sequence[Answer], holds: Callable[[Answer], bool]) -> dict[str, float]:
    """How many answers it holds for, as a share with a 95% bootstrap interval."""
    values = np.array([float(holds(answer)) for answer in answers])
    if not len(values):
        return {"share": float("nan"), "low": float("nan"), "high": float("nan"), "n": 0}
    means = np.random.default_rng(0).choice(values, size=(5000, len(values))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return {"share": float(values.mean()), "low": float(low), "high": float(high), "n": len(values)}


def cites(by: str) -> Callable[[Answer], bool]:
    return lambda answer: any(citation.by == by for citation in answer.citations)


def gold(items: dict[str, Item], by: str) -> Callable[[Answer], bool]:
    """Whether one of the cited passages is the item's own."""
    return lambda a: any(c.doc_id in items[a.qid].supporting for c in a.citations if c.by == by)


def with_prompt(graph: GraphSpec, prompt: str) -> GraphSpec:
    nodes = {
        name: Node.model_validate({**node.model_dump(), "params": {**node.params, "prompt": prompt}})
        if node.use == "generate.cited"
        else node
        for name, node in graph.nodes.items()
    }
    return graph.model_copy(update={"nodes": nodes})


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    arguments.add_argument("--limit", type=int, help="only the first N items")
    arguments.add_argument("--split", choices=("report", "tune"), default="report")
    arguments.add_argument("--graph", default="ask")
    arguments.add_argument("--prompt", default="answer_cited")
    arguments.add_argument("--batch", type=int, default=20)
    arguments.add_argument("--answers", type=Path, help="also write every answer to this JSON lines file")
    arguments.add_argument("--record", action="store_true", help="append to results/cited_answers.jsonl")
    given = arguments.parse_args()
    dataset = load_beir(data_folder() / "clapnq")
    items = {item.qid: item for item in dataset.items()}
    if not SAMPLE.exists():
        drawn = {"set": "clapnq", "seed": f"{SEED}:clapnq", **draw(list(items.values()))}
        SAMPLE.write_text(json.dumps(drawn, indent=1) + "\n", encoding="utf-8")
    qids = json.loads(SAMPLE.read_text(encoding="utf-8"))[given.split]
    if given.limit:
        yes = [qid for qid in qids if items[qid].answerable]
        no = [qid for qid in qids if not items[qid].answerable]
        qids = [qid for pair in zip(yes, no, strict=True) for qid in pair][: given.limit]
    graph = load_spec(given.graph).graph
    index = cached_index(dataset, graph, graph.index)
    begun = perf_counter()
    with Pipeline(build(load_spec(with_prompt(graph, given.prompt)), index=index), index=index) as pipeline:
        result = pipeline.run([items[qid].query for qid in qids], batch=given.batch)
    seconds = perf_counter() - begun
    answers = result.answers
    answered = [a for a in answers if a.status == "answered"]
    answerable = [a for a in answers if items[a.qid].answerable]
    unanswerable = [a for a in answers if not items[a.qid].answerable]
    figures = {
        "answered": share(answers, lambda a: a.status == "answered"),
        "valid marker by the model, of answered": share(answered, cites("model")),
        "its own passage among them": share([a for a in answered if items[a.qid].answerable], gold(items, "model")),
        "attributed, of answered": share(answered, cites("attribution")),
        "markers removed, of answers": share(answers, lambda a: a.outcome.counts.get("removed_markers", 0) > 0),
        "cut off at max_tokens": share(answers, lambda a: a.finish_reason == "length"),
        "refused, answerable": share(answerable, lambda a: a.status == "no_answer"),
        "refused, unanswerable": share(unanswerable, lambda a: a.status == "no_answer"),
    }
    print(f"clapnq, {given.split}: {len(answers)} items, graph {given.graph}, prompt {given.prompt}")
    for name, f in figures.items():
        print(f"  {name:<42} {f['share']:.3f} [{f['low']:.3f}, {f['high']:.3f}] of {f['n']}")
    removed = sum(a.outcome.counts.get("removed_markers", 0) for a in answers)
    print(f"  markers removed in all: {removed}; failed items: {len(result.failures)}")
    for node in result.nodes:
        print(f"  {node.name:<10} {node.seconds:8.1f} s  {dict(node.outcomes)}")
    print(f"  {seconds:.0f} s, {seconds / max(len(answers), 1):.2f} s per item")
    if given.answers:
        lines = [json.dumps({"question": a.query.text, "status": a.status, "answer": a.text}) for a in answers]
        given.answers.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if given.record:
        told = {"split": given.split, "graph": given.graph, "prompt": pipeline.graph.parts["answer"].prompt.sha256}
        nodes = [node.as_dict() for node in result.nodes]
        record("cited_answers", {**told, "n": len(answers), "figures": figures, "removed": removed, "nodes": nodes})


if __name__ == "__main__":
    main()
