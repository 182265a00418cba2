"""A run folder -> some of its queries asked again, and what that says."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from rag.errors import SpecError
from rag.evaluate import Compared, Outputs, RunFile, compare_runs, opened
from rag.files import Progress, silent
from rag.graphs import changes_between, provenance_of
from ragline_lab.drift.asked import RUN, Asked, Wishes, asked_of_batch, asked_of_evaluation
from ragline_lab.drift.report import Drift, QueryDrift, drifts
from ragline_lab.drift.seen import seen_of

QUERIES = 50
"""How many are asked again, where nobody says."""
TOLERANCE = 1e-4
"""Scores are equal that differ by at most this share of the largest of a ranking, as 32-bit sums in another order do."""
_AGAIN = "again"


def verify(
    run: Path,
    *,
    dataset: Path | None = None,
    split: str | None = None,
    within: str | None = None,
    graph: str | None = None,
    index: str | None = None,
    n: int = QUERIES,
    tolerance: float = TOLERANCE,
    progress: Progress = silent,
) -> Drift:
    """Ask queries of a run again, and compare rankings, answers and measures.

    Where more differs than the order of equal scores, they are asked a second time, in the opposite order and so in other
    batches: that tells how far the graph differs from itself.

    Args:
        run: the folder of `rag eval` or `rag batch`.
        dataset: the folder that a run of `rag eval` is of; what a run of `rag batch` is measured by, if it is.
        split, within: of the data set; default: those of the run.
        graph: what to ask in place of the graph that the run keeps.
        index: where the index of a run of `rag batch` lies; default: where it lay.
        n: how many queries, at least 1.
        tolerance: see `TOLERANCE`; 0 or more.
    Raises:
        SpecError: it is no run, a file of it is damaged, the data set is another one, or its graph cannot be made here.
        IndexProblem: the index is not where it was.
    """
    if n < 1:
        raise SpecError(f"at least 1 query is asked again, got {n}")
    if not tolerance >= 0:
        raise SpecError(f"the tolerance (--tolerance) must be 0 or more, got {tolerance}")
    wishes = Wishes(dataset=dataset, split=split, within=within, graph=graph, index=index, n=n)
    return _asked_again(run, _asked(run, wishes), tolerance, progress)


def _asked(run: Path, wishes: Wishes) -> Asked:
    if (run / RunFile.PER_QUERY).is_file():
        return asked_of_evaluation(run, wishes)
    if (run / RUN).is_file() and (run / RunFile.ANSWERS).is_file():
        return asked_of_batch(run, wishes)
    what = "has" if run.is_dir() else "is no folder, and so has"
    raise SpecError(
        f"'{run}' {what} neither {RunFile.PER_QUERY} of rag eval nor {RUN} and {RunFile.ANSWERS} of rag batch: it is no run "
        "that can be asked again"
    )


def _asked_again(run: Path, asked: Asked, tolerance: float, progress: Progress) -> Drift:
    index = asked.index(progress)
    with nullcontext() if index is None else index, opened(asked.spec, index) as pipeline:
        target = pipeline.graph.output if asked.answers else pipeline.graph.last_ranking()
        outputs = Outputs.of(pipeline, asked.queries, target, progress=progress)
        nodes = [name for name in outputs.ranking_once() if name in asked.kept]
        if not nodes and not asked.answers:
            there = ", ".join(outputs.rankings)
            raise SpecError(f"'{run}' keeps no ranking of a node of this graph ({there}): there is nothing to compare")
        now, qids = seen_of(outputs), [query.qid for query in asked.queries]
        first = drifts(asked.before, now, qids, nodes, tolerance=tolerance)
        second: list[QueryDrift] = []
        if not all(drift.is_rounding for drift in first):
            other = seen_of(Outputs.of(pipeline, asked.queries[::-1], target, progress=progress))
            second = drifts(now, other, qids, nodes, tolerance=tolerance)
        facts = provenance_of(pipeline.graph, index, data=asked.data)
    return Drift(
        run=str(run),
        made_by=asked.command,
        of=asked.of,
        left_out=asked.left_out,
        tolerance=tolerance,
        drifts=tuple(first),
        reruns=tuple(second),
        keeps_facts=asked.keeps_facts,
        facts=tuple(changes_between(asked.made_by, facts)),
        measures=tuple(_compared(asked, outputs)),
    )


def _compared(asked: Asked, outputs: Outputs) -> Sequence[Compared]:
    """The measures of the rerun against those of the run, over the queries that were asked again."""
    if not asked.plan.retrieval and not asked.plan.answers:
        return ()
    again = outputs.measured(asked.plan, language=asked.language)
    shared = [
        name
        for name, values in again.per_query.items()
        if not values.keys().isdisjoint(asked.values.per_query.get(name, {}))
    ]
    if not shared:
        return ()
    return compare_runs(asked.values, {_AGAIN: again}, measures=shared, common=True)[_AGAIN]
