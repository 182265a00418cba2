"""Do questions that a model writes order graphs as judgements do? Kendall's tau-b over ten graphs, on four sets.

For each set a model writes questions about passages of its index (`rag lab questions`: dropped is what no leg finds). Ten
graphs without a model that writes are measured by nDCG@10 on these questions and on the set's judged queries, and tau-b
says how far both order them alike, with a bootstrap over the queries of both sides. Beside it stands the tau of two halves
of the judged queries, for judgements themselves do not tell near graphs apart. Questions are kept in the work folder, and
the same command goes on with them. In vLLM this wants its Python.

    RAGLINE_EVAL_DATA=... python -m plugins.lab.benchmarks.own_questions [SET ...] [--model NAME] [--engine E] [--n 100] [--record]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.graphs import ENGINES, hybrid_nodes
from benchmarks.make_samples import data_folder, take_sets
from benchmarks.record import Record, record
from plugins.lab.benchmarks.models import named
from plugins.lab.benchmarks.orders import Tau, tau_of_means
from rag import Query, SpecError, load_pipeline
from rag.evaluate import Dataset, Qrels, cached_index, evaluate, load_beir
from rag.graphs import load_spec
from ragline_lab.questions.making import make_questions
from ragline_lab.questions.report import QuestionsReport

SETS = ("scifact", "cranfield", "cosqa", "docs-manpages")
MEASURE = "nDCG@10"
K = 100
_HALF = 128
"""Of the first byte of a qid's hash, what parts two halves of the judged queries."""


def _bm25(**index: Any) -> dict[str, Any]:
    return {"index": index, "nodes": {"bm25": {"use": "retrieve.bm25", "k": K}}, "output": "bm25"}


def _fused(use: str, **params: Any) -> dict[str, Any]:
    legs = {name: node for name, node in hybrid_nodes(K).items() if name != "fused"}
    fused = {"use": use, "in": ["bm25", "dense"], "k": K, "with": params}
    return {"nodes": {**legs, "fused": fused}, "output": "fused"}


def _weighed(bm25: float) -> dict[str, Any]:
    return _fused("fuse.weighted", norm="z_score", weights={"bm25": bm25, "dense": round(1 - bm25, 1)})


_RM3 = {
    "bm25": {"use": "retrieve.bm25", "k": K},
    "wider": {"use": "reformulate.rm3", "in": ["query", "bm25"]},
    "again": {"use": "retrieve.bm25", "in": "wider", "k": K},
}
GRAPHS: dict[str, dict[str, Any]] = {
    "bm25": _bm25(),
    "bm25, k1 1.5, b 0.75": _bm25(bm25={"k1": 1.5, "b": 0.75}),
    "bm25+": _bm25(bm25={"variant": "bm25+"}),
    "bm25, no stemmer": _bm25(analyzer={"stemmer": "none"}),
    "bm25, rm3": {"nodes": _RM3, "output": "again"},
    "dense": {"nodes": {"dense": {"use": "retrieve.dense", "k": K}}, "output": "dense"},
    "rrf": _fused("fuse.rrf"),
    "z-score, bm25 0.3": _weighed(0.3),
    "z-score, bm25 0.5": _weighed(0.5),
    "z-score, bm25 0.7": _weighed(0.7),
}

Values = dict[str, dict[str, float]]
"""Graph -> qid -> nDCG@10."""


def measured(dataset: Dataset, asked: Mapping[str, tuple[Sequence[Query], Qrels]]) -> dict[str, Values]:
    """For each kind of queries, every graph's value of each query."""
    values: dict[str, Values] = {kind: {} for kind in asked}
    for name, graph in GRAPHS.items():
        spec = load_spec({"version": 1, **graph})
        index = cached_index(dataset, spec.graph, spec.graph.index)
        with index, load_pipeline({"version": 1, **graph}, index=index) as pipeline:
            for kind, (queries, qrels) in asked.items():
                rankings = pipeline.search_batch(queries)
                values[kind][name] = dict(evaluate(rankings, qrels, [MEASURE]).per_query[MEASURE])
    return values


def halves(values: Values) -> tuple[Values, Values]:
    """The same queries in two parts, told by their ids."""
    first = {name: {qid: v for qid, v in of.items() if _is_first(qid)} for name, of in values.items()}
    second = {name: {qid: v for qid, v in of.items() if not _is_first(qid)} for name, of in values.items()}
    return first, second


def _is_first(qid: str) -> bool:
    return blake2b(qid.encode()).digest()[0] < _HALF


def cell(tau: Tau | None) -> str:
    """Tau with its interval."""
    return "no order" if tau is None else f"{tau.tau:+.2f} [{tau.low:+.2f}, {tau.high:+.2f}]"


def lines_of(name: str, report: QuestionsReport, values: Mapping[str, Values]) -> Iterator[str]:
    """A set as Markdown: what became of its passages, and the graphs by both kinds of queries."""
    ranks = {kind: _ranks(of) for kind, of in values.items()}
    n = {kind: len(next(iter(of.values()))) for kind, of in values.items()}
    yield f"\n### {name}\n"
    yield from (f"- {line.strip()}" for line in report.lines())
    yield f"\n| graph | own questions ({n['own']:,}) | rank | judged queries ({n['judged']:,}) | rank |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for graph in GRAPHS:
        cells = [f"{fmean(values[kind][graph].values()):.4f} | {ranks[kind][graph]}" for kind in ("own", "judged")]
        yield f"| {graph} | {' | '.join(cells)} |"


def _ranks(values: Values) -> dict[str, int]:
    means = {graph: fmean(of.values()) for graph, of in values.items()}
    return {graph: 1 + sum(other > mean for other in means.values()) for graph, mean in means.items()}


def taus_of(values: Mapping[str, Values]) -> dict[str, Tau | None]:
    """How far own questions order the graphs as judged queries do, and how far those agree with themselves."""
    return {
        "own questions and judged queries": tau_of_means(values["own"], values["judged"]),
        "two halves of the judged queries": tau_of_means(*halves(values["judged"])),
    }


def result_of(
    name: str, report: QuestionsReport, values: Mapping[str, Values], taus: Mapping[str, Tau | None]
) -> dict[str, Any]:
    """What is recorded of a set."""
    told = report.as_dict()
    return {
        "set": name,
        "model": report.model,
        "questions": told["answerable"],
        "found_by": told["found_by"],
        "means": {
            kind: {graph: fmean(of_graph.values()) for graph, of_graph in of.items()} for kind, of in values.items()
        },
        "queries": {kind: len(next(iter(of.values()))) for kind, of in values.items()},
        "tau": {
            what: None if tau is None else {"tau": tau.tau, "low": tau.low, "high": tau.high}
            for what, tau in taus.items()
        },
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Write what is missing, and print a table for every set and one for all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    take_sets(parser, SETS)
    parser.add_argument("--model", default="qwen2.5-coder-1.5b-instruct")
    parser.add_argument("--engine", choices=ENGINES, default="vllm_offline")
    parser.add_argument("--n", type=int, default=100, help="questions of each set")
    parser.add_argument("--answerable-check", action="store_true", help="as rag lab questions has it")
    parser.add_argument("--work", type=Path, default=Path("runs/own_questions"), help="where questions are kept")
    parser.add_argument("--record", action=Record, help="append to results/own_questions.jsonl")
    options = parser.parse_args(arguments)
    model = named(options.model, options.engine)
    summary = ["\n| set | questions | passages asked about | tau, own and judged | tau, two halves of the judged |"]
    summary.append("| --- | ---: | ---: | --- | --- |")
    for name in options.sets or SETS:
        dataset, out = load_beir(data_folder() / name), options.work / f"{name}-{Path(options.model).name}"
        spec = load_spec({"version": 1, **GRAPHS["rrf"]})
        with cached_index(dataset, spec.graph, spec.graph.index) as index:
            check = options.answerable_check
            try:
                report = make_questions(index, model, n=options.n, out=out, check_answers=check, corpus=dataset)
            except SpecError as error:  # a model that is too small keeps none; the other sets go on
                print(f"\n### {name}\n\n{error}", flush=True)
                summary.append(f"| {name} | 0 | | | |")
                continue
        written, qrels = load_beir(out), dataset.qrels()
        judged = (dataset.queries_of(qrels), qrels)
        values = measured(dataset, {"own": (written.queries, written.qrels()), "judged": judged})
        taus = taus_of(values)
        print(*lines_of(name, report, values), sep="\n", flush=True)
        if options.record:
            record("own_questions", {**result_of(name, report, values, taus), "engine": options.engine, "check": check})
        own = report.own
        summary.append(f"| {name} | {len(own.kept)} | {own.looked_at} | {' | '.join(map(cell, taus.values()))} |")
    print(*summary, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
