"""The newest alone: what it brings where the same document comes in several versions, and where a question has a cut-off.

Set `versions`: the documentation of two releases of a library; right is the newer page. Set `forecast`: dated news; right is
what was written until the question's date, the last thirty days twice as much.

    bm25      `retrieve.bm25` over all
    newest    the same with `versions: {key: key, date: released}` (of `versions`)
    cutoff    the same under the filter `date <= cut-off` (of `forecast`)
    recency   the first hits by relevance times recency, `rerank.recency`, ages counted from the newest of them: of
              `versions` those of `bm25`, of `forecast` those of `cutoff`

Each run adds a line to benchmarks/results/versions.jsonl and prints it as rows of a table.

    RAGLINE_EVAL_DATA=... python -m benchmarks.versions [WAY ...] [--model NAME] [--depth 10] [--busy]
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.make_samples import data_folder, records
from benchmarks.record import record
from benchmarks.ways import add_busy, difference_cell, mean_cell, require_ways
from rag.core.types import Query
from rag.evaluate.beir import load_beir
from rag.evaluate.measures import evaluate
from rag.indexing import build_index
from rag.pipeline import load_pipeline
from retrievers.index.settings import IndexSettings

NAME = "versions"
INDEXES = Path("runs/versions")
MODEL = "smollm2-135m-instruct"
WAYS = ("bm25", "newest", "cutoff", "recency")
K = 100
DATES = {"versions": "released", "forecast": "date"}
_ONLY = {"newest": "versions", "cutoff": "forecast"}


def queries(name: str, way: str) -> list[Query]:
    """The questions of a set; with a cut-off, each under its own."""
    cut_off = name == "forecast" and way != "bm25"
    return [
        Query(qid=each["_id"], text=each["text"], where=f"date <= {each['cutoff']}" if cut_off else None)
        for each in records(f"{name}/queries")
    ]


def graph(name: str, way: str, model: str, depth: int) -> dict[str, Any]:
    """Lexical search, and what a way adds to it."""
    first: dict[str, Any] = {"use": "retrieve.bm25", "in": "query", "k": K}
    if way == "newest":
        first["with"] = {"versions": {"key": "key", "date": "released"}}
    nodes = {"first": first}
    if way != "recency":
        return {"version": 1, "nodes": nodes, "output": "first"}
    with_ = {"llm": "judge", "date": DATES[name], "depth": depth, "max_words": 60}
    nodes["recent"] = {"use": "rerank.recency", "in": "first", "k": K, "with": with_}
    models = {"judge": {"use": "llm.transformers", "with": {"model": model}}}
    return {"version": 1, "models": models, "nodes": nodes, "output": "recent"}


def measured(name: str, way: str, model: str, depth: int) -> dict[str, Any]:
    """nDCG@10 of every question, and seconds a question."""
    folder = data_folder() / name
    build_index(
        folder / "corpus.jsonl.gz", INDEXES / name, settings=IndexSettings().judging_documents(), legs=("lexical",)
    )
    asked = queries(name, way)
    with load_pipeline(graph(name, way, model, depth), index=INDEXES / name) as pipeline:
        pipeline.search_batch(asked[:1])
        begun = perf_counter()
        rankings = pipeline.search_batch(asked)
        seconds = perf_counter() - begun
    evaluation = evaluate(rankings, load_beir(folder).qrels("test"), ["nDCG@10"])
    return {
        "set": name,
        "way": way,
        "ndcg@10": evaluation.measures["nDCG@10"],
        "per_query": dict(evaluation.per_query["nDCG@10"]),
        "seconds": round(seconds / len(asked), 4),
        **({"model": model, "depth": depth} if way == "recency" else {}),
    }


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: nDCG@10 with its 95% interval, and the difference to BM25 of the same questions."""
    rows = ["| set | way | n | nDCG@10 [95%] | to BM25 [95%] | s |", "| --- | --- | ---: | --- | --- | ---: |"]
    base = {each["set"]: each["per_query"] for each in results if each["way"] == "bm25"}
    for each in results:
        values = each["per_query"]
        others = {} if each["way"] == "bm25" else base.get(each["set"], {})
        beside = difference_cell([*values.values()], [others[q] for q in values], digits=3) if others else ""
        rows.append(
            f"| {each['set']} | {each['way']} | {len(values)} | {mean_cell([*values.values()], digits=3)} | {beside} "
            f"| {each['seconds']:.3f} |"
        )
    return "\n".join(rows)


def main() -> None:
    """Measure, record and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ways", nargs="*", metavar="WAY", help=f"{', '.join(WAYS)}; all of them when left out")
    parser.add_argument("--model", default=MODEL, help="that grades for recency")
    parser.add_argument("--depth", type=int, default=10, help="hits that recency reranks")
    add_busy(parser)
    options = parser.parse_args()
    require_ways(parser, options.ways, WAYS)
    results = []
    for way in options.ways or WAYS:
        for name in DATES:
            if _ONLY.get(way, name) == name:
                results.append(measured(name, way, options.model, options.depth))
                print(f"{name} {way}: {results[-1]['ndcg@10']:.4f}", flush=True)
    record(NAME, {"results": results, "busy": options.busy})
    print(table(results))


if __name__ == "__main__":
    main()
