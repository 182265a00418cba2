"""What an evaluation is compared with: a TREC run, or the values per query of an earlier evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rag.core.errors import SpecError
from rag.core.trec import read_run
from rag.evaluate.measures import Evaluation, Qrels, evaluate
from rag.evaluate.report import PER_QUERY, read_per_query
from rag.evaluate.significance import Significance, compare


def compare_with_baseline(
    ours: Evaluation, baseline: Path, qrels: Qrels, measures: Sequence[str]
) -> dict[str, Significance]:
    """Measure -> ours against the baseline's, by the paired test, for the measures that both have.

    Args:
        baseline: a TREC run, which is measured against `qrels`; or the folder of an earlier evaluation, or its table of
            values per query, for measures of answers too.
        measures: of retrieval, for a TREC run.
    Raises:
        SpecError: the baseline cannot be read, lacks queries that were evaluated, or shares no measure.
    """
    table = baseline / PER_QUERY if baseline.is_dir() else baseline
    theirs = _of_table(ours, table) if table.suffix == ".csv" else _of_run(baseline, qrels, measures)
    shared = [name for name in ours.per_query if name in theirs.per_query]
    if not shared:
        raise SpecError(
            f"baseline '{baseline}' has none of the measures {', '.join(ours.per_query)}; a TREC run has those of "
            "retrieval alone, the run folder of an earlier evaluation has what that one measured"
        )
    return compare(ours, theirs)


def _of_run(baseline: Path, qrels: Qrels, measures: Sequence[str]) -> Evaluation:
    run = read_run(baseline)
    if not set(run) & set(qrels) and measures:
        raise SpecError(f"{baseline}: no query of this run is among the {len(qrels)} that were evaluated")
    order = {qid: [doc_id for doc_id, _ in run.get(qid, ())] for qid in qrels}
    return evaluate(order, qrels, measures) if measures else Evaluation(measures={}, per_query={}, n_queries=0)


def _of_table(ours: Evaluation, table: Path) -> Evaluation:
    """The values of the queries that ours has; a table of more queries is a good baseline."""
    qids = dict.fromkeys(qid for values in ours.per_query.values() for qid in values)
    theirs = read_per_query(table, qids)
    for name in (name for name in ours.per_query if name in theirs):
        if lost := [qid for qid in ours.per_query[name] if qid not in theirs[name]]:
            raise SpecError(
                f"{table}: {len(lost)} of the queries that were evaluated have no {name} there, first '{lost[0]}'"
            )
        theirs[name] = {qid: theirs[name][qid] for qid in ours.per_query[name]}
    return Evaluation(measures={}, per_query=theirs, n_queries=len(qids))
