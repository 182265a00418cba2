"""Retrieval measures of a run against judgements, computed by ir_measures in trec_eval's conventions.

Beside those of ir_measures there is AllRelevant@k. Backtracing's accuracy at k, where any cause counts, is Success@k.
Queries without a positive judgement are left out; a judged query without a ranking counts 0. Rank order is
the run's own: scores are not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from rag.core.errors import SpecError, did_you_mean
from rag.core.types import Ranking

Qrels = Mapping[str, Mapping[str, int]]

# trec_eval's and common names -> those of ir_measures; what follows the name is its cutoff
_ALIASES = {
    "ndcg": "nDCG",
    "ndcg_cut": "nDCG",
    "map": "AP",
    "map_cut": "AP",
    "ap": "AP",
    "mrr": "RR",
    "rr": "RR",
    "recip_rank": "RR",
    "recall": "R",
    "r": "R",
    "p": "P",
    "precision": "P",
    "success": "Success",
    "rprec": "Rprec",
    "bpref": "Bpref",
    "allrelevant": "AllRelevant",
    "comp": "AllRelevant",
}
_ALL_RELEVANT = re.compile(r"AllRelevant(?:@([1-9]\d*))?")
KNOWN_MEASURES = ("nDCG@10", "R@100", "AP", "RR", "RR@10", "P@10", "Success@5", "Rprec", "Bpref", "AllRelevant@10")


@dataclass(frozen=True, slots=True)
class AllRelevant:
    """1 for a query whose documents of grade 1 and above are all among the first `cutoff`, else 0; None: the whole list.

    The measure of tool retrieval, where one missing tool spoils the request; COMP@k in ToolLens (Qu et al., CIKM 2024, arXiv
    2405.16089). ir_measures has no such measure.
    """

    cutoff: int | None = None

    def __str__(self) -> str:
        return "AllRelevant" if self.cutoff is None else f"AllRelevant@{self.cutoff}"

    def of_query(self, doc_ids: Sequence[str], grades: Mapping[str, int]) -> float:
        """The value of one query, its documents given in rank order."""
        return float({doc_id for doc_id, grade in grades.items() if grade > 0} <= set(doc_ids[: self.cutoff]))


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Means over queries, and the values they are means of: measure -> value, measure -> qid -> value.

    A measure of answers may hold for some of the queries alone; `per_query` then has those.
    """

    measures: Mapping[str, float]
    per_query: Mapping[str, Mapping[str, float]]
    n_queries: int


def evaluate(
    run: Sequence[Ranking] | Mapping[str, Sequence[str]],
    qrels: Qrels,
    measures: Sequence[str] = ("nDCG@10", "R@100", "AP"),
    *,
    drop_same_id: bool = False,
) -> Evaluation:
    """Measure a run.

    Args:
        run: rankings, in which a document counts by its best chunk; or qid -> doc_ids in rank order.
        measures: names of ir_measures, or trec_eval's such as ndcg_cut_10, map and recip_rank.
        drop_same_id: leave out hits whose doc_id is the qid, as data sets of duplicates ask for.
    Raises:
        SpecError: a measure is unknown, or no query has a positive judgement.
        ValueError: two rankings have the same qid.
    """
    parsed = parse_measures(measures)
    judged = {qid: dict(grades) for qid, grades in qrels.items() if any(g > 0 for g in grades.values())}
    if not judged:
        raise SpecError("no query has a positive judgement, so there is nothing to measure")
    order = run if isinstance(run, Mapping) else document_order(run)
    scored = {qid: _falling(qid, order[qid], drop_same_id) for qid in judged if order.get(qid)}
    values = {str(measure): dict.fromkeys(judged, 0.0) for measure in parsed}
    import ir_measures

    hits_of = {qid: hits for qid, hits in scored.items() if hits}
    theirs = [measure for measure in parsed if not isinstance(measure, AllRelevant)]
    for metric in ir_measures.iter_calc(theirs, judged, hits_of) if theirs else ():
        if metric.query_id in judged:
            values[str(metric.measure)][metric.query_id] = float(metric.value)
    for measure in (measure for measure in parsed if isinstance(measure, AllRelevant)):
        for qid, hits in scored.items():
            values[str(measure)][qid] = measure.of_query(list(hits), judged[qid])
    means = {str(measure): _mean(measure, values[str(measure)]) for measure in parsed}
    return Evaluation(measures=means, per_query=values, n_queries=len(judged))


def document_order(run: Sequence[Ranking]) -> dict[str, list[str]]:
    """qid -> document ids, best first. A document takes the rank of its best chunk.

    Raises:
        ValueError: two rankings have the same qid.
    """
    order: dict[str, list[str]] = {}
    for ranking in run:
        if ranking.qid in order:
            raise ValueError(f"two rankings have the qid '{ranking.qid}'; fuse variants before measuring")
        order[ranking.qid] = list(dict.fromkeys(hit.document.parent for hit in ranking.hits))
    return order


def parse_measures(names: Sequence[str]) -> list[Any]:
    """Names -> measures of ir_measures, or AllRelevant, each once, in order. `str` of one is its canonical name.

    Raises:
        SpecError: lists all names that are unknown or cannot be computed here.
    """
    import ir_measures

    parsed: dict[str, Any] = {}
    problems = [] if names else ["no measure is asked for"]
    for name in names:
        canonical = _canonical(name)
        if ours := _ALL_RELEVANT.fullmatch(canonical):
            parsed[canonical] = AllRelevant(int(ours[1]) if ours[1] else None)
            continue
        try:
            measure = ir_measures.parse_measure(canonical)
        except Exception:  # the parser is a grammar of its own, with errors of its own
            problems.append(f"no measure named '{name}'. {did_you_mean(name, KNOWN_MEASURES)} Or any of ir_measures.")
            continue
        if ir_measures.DefaultPipeline.supports(measure):  # type: ignore[no-untyped-call]
            parsed[str(measure)] = measure
        else:
            problems.append(f"measure '{name}' needs a library that is not installed; see ir_measures")
    if problems:
        raise SpecError(*problems)
    return list(parsed.values())


def _canonical(name: str) -> str:
    match = re.fullmatch(r"([A-Za-z_]+?)(?:[@_](\d+))?", name.strip())
    if match is None:
        return name
    alias = _ALIASES.get(match[1].lower())
    if alias is None:
        return name
    return f"{alias}@{match[2]}" if match[2] else alias


def _falling(qid: str, doc_ids: Sequence[str], drop_same_id: bool) -> dict[str, float]:
    """doc_id -> a score that falls by one from hit to hit: trec_eval sees our order, and no ties."""
    kept = [doc_id for doc_id in dict.fromkeys(doc_ids) if not (drop_same_id and doc_id == qid)]
    return {doc_id: float(len(kept) - position) for position, doc_id in enumerate(kept)}


def _mean(measure: Any, values: Mapping[str, float]) -> float:
    if isinstance(measure, AllRelevant):
        return fmean(values.values())
    aggregator = measure.aggregator()
    for value in values.values():
        aggregator.add(value)
    return float(aggregator.result())
