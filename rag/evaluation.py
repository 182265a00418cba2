"""A data set and a graph -> measures, and a run folder that holds enough to repeat and to question them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rag.as_json import failures_json
from rag.beir import Dataset
from rag.errors import SpecError
from rag.evaluate import Evaluation, Significance, compare, evaluate, write_per_query
from rag.graph.build import RANKING_STAGES, build
from rag.graph.check import check
from rag.graph.report import Failure, NodeReport
from rag.graph.rewire import with_run
from rag.graph.spec import GraphSpec, Spec, load_spec
from rag.indexing import build_index, index_key
from rag.models import home
from rag.pipeline import Pipeline
from rag.progress import Progress, silent
from rag.trec import Qrels, read_run, write_run
from rag.types import Document, Ranking, ScoredDocument
from retrievers.index.directory import Index
from retrievers.index.settings import IndexSettings

BATCH = 16
NOT_OK = ("repaired", "fallback", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalReport:
    """Measures of a graph on a data set, with what it cost and what went wrong on the way.

    `seconds` is wall time of the queries; building an index is not in it. `significance`: measure -> comparison with the
    baseline, where one was given.
    """

    dataset: str
    split: str
    graph: str
    evaluation: Evaluation
    seconds: float
    nodes: tuple[NodeReport, ...]
    failures: tuple[Failure, ...]
    index: str
    significance: Mapping[str, Significance] = field(default_factory=dict)

    @property
    def worst_share(self) -> float:
        """The largest share, over nodes, of records that were repaired, fell back or failed; failed queries count too."""
        shares = [sum(node.outcomes.get(kind, 0) for kind in NOT_OK) / node.n_out for node in self.nodes if node.n_out]
        lost = len({f.qid for f in self.failures}) / max(self.evaluation.n_queries, 1)
        return max([*shares, lost])

    def as_dict(self) -> dict[str, Any]:
        """The documented JSON form (docs/json.md)."""
        return {
            "dataset": self.dataset,
            "split": self.split,
            "graph": self.graph,
            "index": self.index,
            "measures": dict(self.evaluation.measures),
            "queries": self.evaluation.n_queries,
            "seconds": round(self.seconds, 3),
            "significance": {
                name: {"difference": s.difference, "p": s.p, "low": s.low, "high": s.high}
                for name, s in self.significance.items()
            },
            "outcomes": {node.name: dict(node.outcomes) for node in self.nodes},
            "nodes": [node.as_dict() for node in self.nodes],
            "failures": failures_json(self.failures),
        }


def evaluate_graph(
    dataset: Dataset,
    spec: Spec,
    *,
    out: Path,
    split: str = "test",
    measures: Sequence[str] = ("nDCG@10", "R@100", "AP"),
    settings: IndexSettings | None = None,
    baseline: Path | None = None,
    run: Path | None = None,
    limit: int | None = None,
    progress: Progress = silent,
) -> EvalReport:
    """Search every judged query of a split and score the graph's last ranking.

    The index is built in a cache keyed by corpus content and index settings, and used again.

    Args:
        out: folder to write: graph.json, a TREC run per ranking node, per_query.csv, report.json.
        settings: of the index; default: the graph's.
        baseline: a TREC run; its measures are compared by a paired randomisation test.
        run: a TREC run to use as the first stage in place of the graph's retrieval and fusion.
        limit: only so many queries, the first in file order.
    Raises:
        SpecError: the graph, the split, a measure or a run file is wrong.
    """
    qrels = dataset.qrels(split)
    queries = dataset.queries_of(qrels)[:limit]
    if not queries:
        raise SpecError(f"data set '{dataset.folder}' has no query with a positive judgement in split '{split}'")
    judged = {query.qid: qrels[query.qid] for query in queries}
    evaluate([], judged, measures)  # a wrong measure is found before hours of work
    graph = with_run(spec.graph, run) if run is not None else spec.graph
    bound = cached_index(dataset, graph, settings or graph.index, progress=progress)
    pipeline = Pipeline(build(Spec(graph=graph, source=spec.source), index=bound), index=bound)
    with pipeline:
        rankings, reports, failures, seconds = _search(pipeline, queries, progress)
    target = pipeline.graph.last_ranking()
    evaluation = evaluate(rankings[target], judged, measures)
    report = EvalReport(
        dataset=dataset.name,
        split=split,
        graph=spec.source.name.removeprefix("built-in graph "),
        evaluation=evaluation,
        seconds=seconds,
        nodes=tuple(reports),
        failures=tuple(failures),
        index=bound.manifest.identity,
        significance=_compared(evaluation, baseline, judged, measures) if baseline is not None else {},
    )
    _write(report, graph, rankings, out)
    return report


def cached_index(dataset: Dataset, graph: GraphSpec, settings: IndexSettings, *, progress: Progress = silent) -> Index:
    """An index of the data set with the legs that the graph needs, from the cache or built into it.

    One directory serves all graphs with equal settings: a leg that it lacks is added to it.
    """
    checked = check(load_spec(graph))
    legs = checked.legs or ("lexical",)
    sources = list(dataset.corpus)
    key = index_key(sources, settings=settings, legs=("lexical", "dense") if "dense" in legs else ("lexical",))
    place = home() / "indexes" / key[:24]
    if (place / "CURRENT").exists():
        index = Index.open(place)
        if set(legs) <= set(index.manifest.legs):
            return index
        legs = tuple(sorted({*legs, *index.manifest.legs}))
        index.close()
    build_index(sources, place, settings=settings, legs=legs, progress=progress)
    return Index.open(place)


def _search(
    pipeline: Pipeline, queries: Sequence[Any], progress: Progress
) -> tuple[dict[str, list[Ranking]], list[NodeReport], list[Failure], float]:
    """Light rankings (ids and scores, no text) of every ranking node, and what the nodes report."""
    target = pipeline.graph.last_ranking()
    nodes = [node.name for node in pipeline.graph.up_to(target) if node.stage in RANKING_STAGES]
    rankings: dict[str, list[Ranking]] = {name: [] for name in nodes}
    reports: dict[str, NodeReport] = {}
    failures: list[Failure] = []
    seconds = 0.0
    for start in range(0, len(queries), BATCH):
        result = pipeline.run(queries[start : start + BATCH], to=target)
        for name in nodes:
            rankings[name].extend(_light(r) for r in (result.rankings if name == target else result.records[name]))
        for report in result.nodes:
            reports[report.name] = reports[report.name] + report if report.name in reports else report
        failures.extend(result.failures)
        seconds += result.seconds
        progress("searching", min(start + BATCH, len(queries)), len(queries))
    return rankings, list(reports.values()), failures, seconds


def _light(ranking: Ranking) -> Ranking:
    hits = tuple(
        ScoredDocument(
            document=Document(doc_id=hit.doc_id, text="", metadata={"parent": hit.document.parent}),
            score=hit.score,
        )
        for hit in ranking.hits
    )
    return replace(ranking, hits=hits)


def _compared(ours: Evaluation, baseline: Path, qrels: Qrels, measures: Sequence[str]) -> dict[str, Significance]:
    found = read_run(baseline)
    if not set(found) & set(qrels):
        raise SpecError(f"{baseline}: no query of this run is among the {len(qrels)} that were evaluated")
    theirs = {qid: [doc_id for doc_id, _ in found.get(qid, ())] for qid in qrels}
    return compare(ours, evaluate(theirs, qrels, measures))


def _write(report: EvalReport, graph: GraphSpec, rankings: Mapping[str, Sequence[Ranking]], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for name, made in rankings.items():
        distinct = Counter(r.qid for r in made)
        if max(distinct.values(), default=0) == 1:  # variants of one query are no run; their fusion is
            write_run(made, out / f"{_file_name(name)}.trec", tag=_file_name(name))
    write_per_query(report.evaluation, out / "per_query.csv")
    (out / "graph.json").write_text(graph.model_dump_json(indent=1, by_alias=True) + "\n", encoding="utf-8")
    (out / "report.json").write_text(json.dumps(report.as_dict(), indent=1) + "\n", encoding="utf-8")


def _file_name(node: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in node) or "_"
