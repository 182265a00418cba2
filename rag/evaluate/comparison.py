"""Two runs over the same queries: is one better, by how much, and on which queries? One way to say it, for every command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from rag.core.errors import SpecError
from rag.core.trec import Qrels
from rag.evaluate.measured_runs import measured_run
from rag.evaluate.measures import Evaluation
from rag.evaluate.scope import Plan
from rag.evaluate.significance import Significance, compare, holm

_EQUAL = 1e-9
"""Values that differ by less are the same: sums in another order differ in their last bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One measure of a run beside that of the baseline. `p`: corrected for all that were compared together (Holm).

    `differences`: qid -> the run's value less the baseline's, the greatest first.
    """

    measure: str
    baseline: float
    run: float
    test: Significance
    p: float
    differences: dict[str, float]

    @property
    def gained(self) -> dict[str, float]:
        """Queries that got better, those that gained most first."""
        return {qid: value for qid, value in self.differences.items() if value > _EQUAL}

    @property
    def lost(self) -> dict[str, float]:
        """Queries that got worse, those that lost most first."""
        return {qid: value for qid, value in reversed(self.differences.items()) if value < -_EQUAL}

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "measure": self.measure,
            "queries": len(self.differences),
            "baseline": self.baseline,
            "run": self.run,
            "difference": self.test.difference,
            "low": self.test.low,
            "high": self.test.high,
            "p": self.p,
            "gained": len(self.gained),
            "lost": len(self.lost),
            "equal": len(self.differences) - len(self.gained) - len(self.lost),
            "differences": self.differences,
        }


def compare_runs(
    baseline: Evaluation, runs: Mapping[str, Evaluation], *, measures: Sequence[str] | None = None, common: bool = False
) -> dict[str, list[Compared]]:
    """Run -> its measures against the baseline's, by paired randomisation; p is corrected over all runs and measures.

    Args:
        measures: which ones; unset takes all that all runs have.
        common: compare over the queries that both have; otherwise others than the baseline's are an error.
    Raises:
        SpecError: a measure is missing, no measure or query is shared, or a run has other queries.
    """
    everyone = [baseline, *runs.values()]
    names = measures or [name for name in baseline.per_query if all(name in one.per_query for one in everyone)]
    if not names:
        raise SpecError("the runs have no measure in common; measure both with the same rag eval --measures")
    tests: dict[str, dict[str, tuple[Evaluation, Evaluation, Significance]]] = {}
    for label, run in runs.items():
        tests[label] = {}
        for name in names:
            one, other = _paired(baseline, run, name, label, common=common)
            tests[label][name] = one, other, compare(other, one)[name]
    corrected = iter(holm([test.p for of_run in tests.values() for *_, test in of_run.values()]))
    return {
        label: [_compared(name, one, other, test, next(corrected)) for name, (one, other, test) in of_run.items()]
        for label, of_run in tests.items()
    }


def _paired(
    baseline: Evaluation, run: Evaluation, name: str, label: str, *, common: bool
) -> tuple[Evaluation, Evaluation]:
    for whose, one in (("the baseline", baseline), (f"'{label}'", run)):
        if name not in one.per_query:
            raise SpecError(f"{whose} has no {name}; it has {', '.join(one.per_query) or 'no measure'}")
    mine, theirs = baseline.per_query[name], run.per_query[name]
    shared = [qid for qid in mine if qid in theirs]
    if not shared:
        raise SpecError(f"'{label}' and the baseline have no query with {name} in common: they are of other questions")
    if not common and (alone := len(mine.keys() ^ theirs.keys())):
        raise SpecError(
            f"'{label}' and the baseline were not asked the same: {alone} queries have {name} in one of them alone, "
            f"{len(shared)} in both. --common compares over those"
        )
    return _alone(name, mine, shared), _alone(name, theirs, shared)


def _alone(name: str, values: Mapping[str, float], qids: Sequence[str]) -> Evaluation:
    kept = {qid: values[qid] for qid in qids}
    return Evaluation(measures={name: fmean(kept.values())}, per_query={name: kept}, n_queries=len(kept))


def _compared(name: str, baseline: Evaluation, run: Evaluation, test: Significance, p: float) -> Compared:
    before, after = baseline.per_query[name], run.per_query[name]
    differences = {qid: after[qid] - before[qid] for qid in before}
    ordered = sorted(differences, key=lambda qid: (-differences[qid], qid))
    return Compared(
        measure=name,
        baseline=baseline.measures[name],
        run=run.measures[name],
        test=test,
        p=p,
        differences={qid: differences[qid] for qid in ordered},
    )


def compare_with_baseline(
    ours: Evaluation, baseline: Path, qrels: Qrels, measures: Sequence[str]
) -> dict[str, Significance]:
    """Measure -> ours against the baseline's, for the measures that both have.

    Args:
        baseline: as `measured_run` takes runs; one of more queries is a good baseline.
        measures: of retrieval, for a TREC run.
    Raises:
        SpecError: the baseline cannot be read, lacks queries that were evaluated, or shares no measure.
    """
    theirs = measured_run(baseline, Plan(queries=(), qrels=qrels, retrieval=tuple(measures)))
    shared = [name for name in ours.per_query if name in theirs.per_query]
    if not shared:
        raise SpecError(
            f"baseline '{baseline}' has none of the measures {', '.join(ours.per_query)}; a TREC run has those of "
            "retrieval alone, the run folder of an earlier evaluation has what that one measured"
        )
    for name in shared:
        if lost := [qid for qid in ours.per_query[name] if qid not in theirs.per_query[name]]:
            raise SpecError(
                f"{baseline}: {len(lost)} of the queries that were evaluated have no {name} there, first '{lost[0]}'"
            )
    values = {name: {qid: theirs.per_query[name][qid] for qid in ours.per_query[name]} for name in shared}
    return compare(ours, Evaluation(measures={}, per_query=values, n_queries=ours.n_queries))
