"""A data set and a graph -> measures, and a run folder that holds enough to repeat and to question them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from rag.core.errors import SpecError
from rag.core.held_folder import require_writable
from rag.core.progress import Progress, silent
from rag.core.report import Failure, NodeReport, RunResult
from rag.core.run_files import RunFile, file_name
from rag.core.trec import write_run
from rag.core.types import Answer, Document, Query, Ranking, ScoredDocument
from rag.evaluate.answers import evaluate_answers
from rag.evaluate.beir import Dataset
from rag.evaluate.comparison import compare_with_baseline
from rag.evaluate.eval_report import EvalReport
from rag.evaluate.measures import Evaluation, evaluate
from rag.evaluate.report import write_per_query
from rag.evaluate.risk import draw_risk, risk_curve
from rag.evaluate.scope import Plan, plan_evaluation
from rag.evaluate.significance import mean_interval
from rag.evaluate.trails import Trail, Trails, depths_of, trails_of, write_trails
from rag.graph.build import build
from rag.graph.check import check
from rag.graph.checked import Made
from rag.graph.load import load_spec
from rag.graph.rewire import with_run
from rag.graph.spec import ANSWERING, RANKING_STAGES, GraphSpec, Spec
from rag.indexing import build_index, index_key
from rag.indexing.languages import USUAL_LANGUAGE
from rag.models import home
from rag.pipeline import Pipeline
from rag.pipeline.answer_lines import answer_lines
from rag.pipeline.calibrated import calibrated, require_calibrated
from rag.pipeline.identity import Identities, graph_identity, index_identity
from rag.pipeline.memory_plan import plan_memory, require_room
from rag.pipeline.provenance import Provenance, provenance_of, write_provenance
from retrievers.analysis.settings import AUTO
from retrievers.index.opening import is_index, open_index
from retrievers.index.settings import IndexSettings
from retrievers.index_protocol import Index
from retrievers.legs import PLAIN

BATCH = 16
"""Queries that go through a graph at a time."""


def evaluate_graph(
    dataset: Dataset,
    spec: Spec,
    *,
    out: Path,
    split: str = "test",
    measures: Sequence[str] | None = None,
    settings: IndexSettings | None = None,
    baseline: Path | None = None,
    run: Path | None = None,
    limit: int | None = None,
    calibration: Path | None = None,
    risk: float | None = None,
    confidence: float | None = None,
    min_relevance: float = 0.0,
    command: Sequence[str] = (),
    progress: Progress = silent,
) -> EvalReport:
    """Run a graph on the questions of a split and score its last ranking, its answers, or both.

    The index is built in a cache keyed by corpus content and index settings, and used again. Answers are only written
    when a measure looks at them.

    Args:
        out: folder to write: graph.json, provenance.json, a TREC run per ranking node, answers.jsonl, trails.json,
            per_query.csv, report.json, risk.svg.
        measures: of retrieval and of answers; default: see `plan_evaluation`.
        settings: of the index; default: the graph's. Documents stay whole, unless they say otherwise.
        baseline: a TREC run, or the run folder of an earlier evaluation; compared by a paired randomisation test.
        run: a TREC run to use as the first stage in place of the graph's retrieval and fusion.
        limit: only so many questions, the first in file order.
        calibration, risk, confidence, min_relevance: as `load_pipeline` takes them.
        command: the words that were typed for this, which the report keeps.
    Raises:
        SpecError: the graph, the split, a measure or a run file is wrong, the calibration is of another graph, or `out`
            cannot be written.
    """
    spec = calibrated(spec, calibration, risk=risk, confidence=confidence, min_relevance=min_relevance)
    if problems := check(spec).problems:
        raise SpecError(*problems)
    graph = with_run(spec.graph, run) if run is not None else spec.graph
    asked = Spec(graph=graph, source=spec.source)
    plan = plan_for(dataset, asked, split=split, measures=measures, limit=limit)
    require_writable(out, files=[*RunFile, *map(RunFile.of_node, graph.nodes)])
    built_with = (settings or graph.index).judging_documents()
    bound = cached_index(dataset, graph, built_with, progress=progress) if graph.ranks else None
    language = language_of(built_with, bound)
    with opened(asked, bound) as pipeline:
        target = pipeline.graph.output if plan.answers else pipeline.graph.last_ranking()
        outputs = Outputs.of(pipeline, plan.queries, target, progress=progress)
        trails = Trails(depths=depths_of(pipeline.graph), queries=tuple(outputs.trails))
        made_by = _made_by(pipeline, dataset, split, settings=built_with, language=language)
    run_of = _RunOf(dataset.name, split, spec.name, index_identity(bound))
    report = _report(outputs, plan, run_of, baseline=baseline, language=language, command=command)
    _write(report, graph, outputs, out)
    write_trails(trails, out / RunFile.TRAILS)
    write_provenance([made_by], out)
    if report.risk and find_spec("matplotlib"):
        draw_risk(report.risk, out / RunFile.RISK)
    return report


def _made_by(pipeline: Pipeline, dataset: Dataset, split: str, *, settings: IndexSettings, language: str) -> Provenance:
    """The facts that a run on a split was made with."""
    origin = {
        "kind": "rag eval",
        "dataset": dataset.name,
        "split": split,
        "within": dataset.within,
        "settings": settings.model_dump(mode="json", by_alias=True),
        "language": language,
    }
    return provenance_of(pipeline.graph, pipeline.index, data=dataset.fingerprint([split]), origin=origin)


@dataclass(frozen=True, slots=True)
class _RunOf:
    """Names of a data set, its split and a graph, and the identity of an index."""

    dataset: str
    split: str
    graph: str
    index: str


def _report(
    outputs: Outputs,
    plan: Plan,
    run_of: _RunOf,
    *,
    baseline: Path | None,
    language: str,
    command: Sequence[str],
) -> EvalReport:
    """What a graph made of the queries of a plan, measured and compared."""
    evaluation = outputs.measured(plan, language=language)
    compared = compare_with_baseline(evaluation, baseline, plan.qrels, plan.retrieval) if baseline is not None else {}
    return EvalReport(
        dataset=run_of.dataset,
        split=run_of.split,
        graph=run_of.graph,
        evaluation=evaluation,
        seconds=outputs.seconds,
        nodes=tuple(outputs.nodes.values()),
        failures=tuple(outputs.failures),
        index=run_of.index,
        intervals={name: mean_interval(list(values.values())) for name, values in evaluation.per_query.items()},
        significance=compared,
        risk=risk_curve(outputs.answers, plan.items, language=language),
        command=tuple(command),
        statuses=dict(Counter(answer.status for answer in outputs.answers)),
        outcomes=dict(Counter(answer.outcome.kind for answer in outputs.answers)),
    )


def plan_for(
    dataset: Dataset,
    spec: Spec,
    *,
    split: str = "test",
    measures: Sequence[str] | None = None,
    limit: int | None = None,
) -> Plan:
    """What is asked and measured of a graph; see `plan_evaluation`."""
    return plan_evaluation(
        dataset,
        graph=spec.name,
        ranks=spec.graph.ranks,
        gives_answers=spec.graph.nodes[spec.graph.output].answers,
        split=split,
        measures=measures,
        limit=limit,
    )


def language_of(settings: IndexSettings, index: Index | None = None) -> str:
    """The language of answers: that which settings name, else that in which the index has words, else English."""
    said = settings.analyzer.language
    if said != AUTO:
        return said
    words = index.facts(PLAIN).get("analyzer") if index is not None and PLAIN in index.legs else None
    return str((words or {}).get("language", USUAL_LANGUAGE))


def cached_index(
    dataset: Dataset,
    graph: GraphSpec,
    settings: IndexSettings,
    *,
    legs: Sequence[str] | None = None,
    progress: Progress = silent,
) -> Index:
    """An index of the data set with the legs that the graph needs, from the cache or built into it.

    One directory serves all graphs with equal settings: a leg that it lacks is added to it.

    Args:
        legs: those that are needed, where they are not those of the graph alone.
    """
    legs, settings = tuple(legs or ()) or check(load_spec(graph)).legs or (PLAIN,), settings.judging_documents()
    sources = list(dataset.corpus)
    key = index_key(sources, settings=settings, legs=settings.ordered({PLAIN, *legs}))
    place = home() / "indexes" / key[:24]
    if is_index(place):
        index = open_index(place)
        if set(legs) <= set(index.legs):
            return index
        legs = tuple(sorted({*legs, *index.legs}))
        index.close()
    build_index(sources, place, settings=settings, legs=legs, prune=True, most_lost=1.0, progress=progress)
    return open_index(place)


@dataclass(slots=True, kw_only=True)
class Outputs:
    """What a graph made of queries, without the texts of documents. `last`: the last ranking node; empty where none ranks."""

    last: str
    rankings: dict[str, list[Ranking]] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    trails: list[Trail] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)
    nodes: dict[str, NodeReport] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    seconds: float = 0.0

    @classmethod
    def of(cls, pipeline: Pipeline, queries: Sequence[Query], target: str, *, progress: Progress = silent) -> Self:
        """What a graph makes of queries, up to the node `target`; `BATCH` of them go through it at a time, in order."""
        nodes = pipeline.graph.up_to(target)
        ranking_nodes = [node.name for node in nodes if node.stage in RANKING_STAGES]
        answers = pipeline.graph.node(target).stage in ANSWERING
        outputs = cls(last=ranking_nodes[-1] if ranking_nodes else "", rankings={name: [] for name in ranking_nodes})
        identities = Identities(graph=graph_identity(pipeline.graph), index=index_identity(pipeline.index))
        for start in range(0, len(queries), BATCH):
            batch = queries[start : start + BATCH]
            result = pipeline.run(batch, to=target)
            outputs.add(result)
            outputs.trails += trails_of(result, ranking_nodes)
            if answers:
                outputs.lines += answer_lines(result, {query.qid: identities.key(query) for query in batch})
            progress("asking" if answers else "searching", start + len(batch), len(queries))
        return outputs

    def add(self, result: RunResult) -> None:
        """Add what became of a batch: rankings of the nodes that are named here, answers, costs and failures."""
        for name, rankings in self.rankings.items():
            rankings += [replace(ranking, hits=_light(ranking.hits)) for ranking in result.records[name]]
        for answer in result.answers:
            context = replace(answer.context, passages=_light(answer.context.passages))
            self.answers.append(replace(answer, context=context))
        for report in result.nodes:
            self.nodes[report.name] = self.nodes[report.name] + report if report.name in self.nodes else report
        self.failures += result.failures
        self.seconds += result.seconds

    def ranking_once(self) -> list[str]:
        """Nodes that ranked no query twice, in the order of the graph: variants of one query are no run, their fusion is."""
        counts = {name: Counter(ranking.qid for ranking in made) for name, made in self.rankings.items()}
        return [name for name, of_query in counts.items() if max(of_query.values(), default=0) <= 1]

    def measured(self, plan: Plan, *, language: str) -> Evaluation:
        """The measures of a plan. `language`: of answers, ISO 639-1."""
        found = []
        if plan.retrieval:
            judged = [ranking for ranking in self.rankings[self.last] if ranking.qid in plan.qrels]
            found.append(evaluate(judged, plan.qrels, plan.retrieval))
        if plan.answers:
            found.append(evaluate_answers(self.answers, plan.items, plan.answers, language=language))
        return Evaluation(
            measures={name: value for one in found for name, value in one.measures.items()},
            per_query={name: values for one in found for name, values in one.per_query.items()},
            n_queries=len(plan.queries),
        )


@contextmanager
def opened(spec: Spec, index: Index | None, *, kept: Mapping[str, Made] = MappingProxyType({})) -> Iterator[Pipeline]:
    """A graph over an index, ready to run. `kept`: models of another graph to share; see `build`.

    Raises:
        SpecError: the graph is wrong, its calibration is of another graph, or there is not the memory for it.
    """
    built = build(spec, index=index, kept=kept)
    require_calibrated(built, index)
    require_room([plan_memory(built, index=index)])
    with Pipeline(built, index=index) as pipeline:
        yield pipeline


def _light(hits: Sequence[ScoredDocument]) -> tuple[ScoredDocument, ...]:
    """Ids and scores, no text."""
    return tuple(
        ScoredDocument(
            document=Document(doc_id=hit.doc_id, text="", metadata={"parent": hit.document.parent}),
            score=hit.score,
        )
        for hit in hits
    )


def _write(report: EvalReport, graph: GraphSpec, outputs: Outputs, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for name in outputs.ranking_once():
        if rankings := outputs.rankings[name]:
            write_run(rankings, out / RunFile.of_node(name), tag=file_name(name))
    if outputs.answers:
        lines = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in outputs.lines)
        (out / RunFile.ANSWERS).write_text(lines, encoding="utf-8", errors="replace")
    write_per_query(report.evaluation, out / RunFile.PER_QUERY)
    (out / RunFile.GRAPH).write_text(graph.model_dump_json(indent=1, by_alias=True) + "\n", encoding="utf-8")
    (out / RunFile.REPORT).write_text(json.dumps(report.as_dict(), indent=1) + "\n", encoding="utf-8")
