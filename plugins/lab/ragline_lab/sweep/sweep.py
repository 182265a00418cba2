"""A sweep: settings are chosen on tuning queries, and the chosen one is reported on queries that nothing was chosen by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.errors import SpecError
from rag.evaluate import (
    BATCH,
    Dataset,
    Outputs,
    Plan,
    cached_index,
    compare_runs,
    language_of,
    mean_interval,
    measure_name,
    plan_for,
)
from rag.files import Progress, data_sha256, require_writable, silent
from rag.graphs import Graph, Identities, Merged, Spec, built_together, graph_identity, index_identity
from rag.indexes import Index
from ragline_lab.resumed import resumed
from ragline_lab.sweep.axes import parse_axes
from ragline_lab.sweep.halves import Round, better, divided, in_order, rounds
from ragline_lab.sweep.report import Result, SweepReport, Tuned, evaluation_of, tuned
from ragline_lab.sweep.settings import Setting, settings_of
from ragline_lab.sweep.work import Line, Work
from ragline_lab.sweep.written import write_report

LOW_IS_GOOD = ("RefusedAnswerable",)
"""Measures by which nothing is chosen, for the highest would be the worst."""


def sweep(
    dataset: Dataset,
    spec: Spec,
    over: Sequence[str],
    *,
    out: Path,
    split: str = "test",
    tune: float = 0.5,
    tune_split: str | None = None,
    measures: Sequence[str] | None = None,
    halve: bool = False,
    command: Sequence[str] = (),
    progress: Progress = silent,
) -> SweepReport:
    """Run many settings of one graph on tuning queries, and the best of them on reporting queries beside the graph as it was.

    Nodes that are equal in several settings are run once for all of them. Queries go through in batches of `BATCH`, in the
    order of their qids' hashes. The setting with the highest mean of the first measure is chosen, of equal ones the
    earliest; the graph as it was comes first. What is done is kept in `out`, and the same call goes on with it.

    Args:
        over: `PATH=VALUES` for each parameter that varies; see `parse_axis`.
        out: folder to write: run.json, lines.jsonl, sweep.json, sweep.md, best.yaml, as_it_was.csv, chosen.csv, pareto.svg.
        split: whose queries are divided; with `tune_split`, whose queries are reported on.
        tune: share of the queries that settings are chosen by.
        tune_split: a split of the data set whose queries settings are chosen by, in place of a share.
        measures: as `plan_evaluation` takes them; the first decides.
        halve: by successive halving; see `ragline_lab.sweep.halves`.
        command: the words that were typed for this, which the report keeps.
    Raises:
        SpecError: a parameter, a value, a measure or a split is not there, the grid is too large, a setting is wrong, or
            the folder is of another sweep or cannot be written.
    """
    settings = settings_of(spec, parse_axes(over))
    tuning, reporting = _plans(dataset, spec, split, tune, tune_split, measures)
    task = _Task(
        dataset=dataset,
        spec=spec,
        settings=settings,
        tuning=tuning,
        reporting=reporting,
        measure=_first(tuning, reporting, measures),
        split=split,
        tune=tune_split or tune,
        halve=halve,
        command=tuple(command),
    )
    require_writable(out)
    legs, index = sorted({leg for setting in settings for leg in setting.legs}), None
    if spec.graph.ranks:
        index = cached_index(dataset, spec.graph, spec.graph.index, legs=legs, progress=progress)
    with nullcontext() if index is None else index:
        return _swept(task, index, out, progress)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """What is swept. `tune`: a share of the queries of `split`, or a split of its own."""

    dataset: Dataset
    spec: Spec
    settings: Sequence[Setting]
    tuning: Plan
    reporting: Plan
    measure: str
    split: str
    tune: float | str
    halve: bool
    command: tuple[str, ...]

    def facts(self, graphs: Sequence[Graph], index: Index | None) -> dict[str, Any]:
        splits = [self.split, *([self.tune] if isinstance(self.tune, str) else [])]
        halves = [_digest(self.tuning), _digest(self.reporting)]
        return {
            "graph or grid": [graph_identity(graph) for graph in graphs],
            "index": index_identity(index),
            "data set": self.dataset.fingerprint(splits),
            "measures": [self.measure, *self.reporting.retrieval, *self.reporting.answers],
            "division of queries": [self.split, self.tune, self.halve, *halves],
        }

    def rounds(self, settings: int) -> list[Round]:
        """How many settings are run on how many queries."""
        n = len(self.tuning.queries)
        return rounds(settings, n, batch=BATCH) if self.halve else [Round(settings=settings, queries=n)]


def _swept(task: _Task, index: Index | None, out: Path, progress: Progress) -> SweepReport:
    settings, measure = task.settings, task.measure
    graphs = built_together({each.label: each.spec for each in settings}, index)
    writes = bool(task.tuning.answers or task.reporting.answers)
    targets = [graph.output if writes else graph.last_ranking() for graph in graphs]
    merged = Merged(graphs, targets)
    numbers = _distinct(merged, len(graphs))
    if len(numbers) == 1:
        raise SpecError(
            f"no setting differs from the graph as it was in what {measure} looks at, the records of node '{targets[0]}': "
            "vary what leads to it, or choose by another measure"
        )
    facts = task.facts([graphs[number] for number in numbers], index)
    why = "What it reports would no longer be of queries that nothing was chosen by."
    with resumed(out, facts, what="sweep", why=why) as log:
        run = _Run(
            merged=merged,
            work=Work(log),
            labels={merged.identity(number): settings[number].label for number in numbers},
            lasts=[graph.last_ranking() if task.spec.graph.ranks else "" for graph in graphs],
            language=language_of(task.spec.graph.index, index),
            progress=progress,
        )
        all_rounds = task.rounds(len(numbers))
        known = _tune(run, task.tuning, numbers, all_rounds, settings, measure)
        [chosen] = better({n: each.means.get(measure, 0.0) for n, each in known.items() if each.is_whole}, 1)
        report = SweepReport(
            dataset=task.dataset.name,
            split=task.split,
            tune=task.tune,
            graph=task.spec.name,
            measure=measure,
            left_out=len(graphs) - len(numbers),
            sharing=merged.sharing(numbers),
            rounds=tuple(all_rounds),
            settings=tuple(known.values()),
            result=_report(run, task.tuning, task.reporting, chosen, settings, measure),
            index=index_identity(index),
            command=task.command,
        )
        write_report(report, settings[chosen], out)
    return report


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """What runs settings on batches and keeps what they gave. `lasts`: setting -> its last ranking node."""

    merged: Merged
    work: Work
    labels: Mapping[str, str]
    lasts: Sequence[str]
    language: str
    progress: Progress

    def through(self, plan: Plan, settings: Sequence[int], *, begin: int, end: int, what: str) -> dict[int, list[Line]]:
        """Setting -> its lines on the queries from `begin` to `end` of a plan; what is kept is not run again."""
        lines: dict[int, list[Line]] = {setting: [] for setting in settings}
        for start in range(begin, end, BATCH):
            batch = plan.queries[start : min(start + BATCH, end)]
            missing = [each for each in settings if self.work.get(self.merged.identity(each), batch) is None]
            if missing:
                self.work.add(batch, self._run(plan.of(batch), missing), self.labels)
            for setting in settings:
                line = self.work.get(self.merged.identity(setting), batch)
                assert line is not None
                lines[setting].append(line)
            self.progress(what, min(start + BATCH, end), len(plan.queries))
        return lines

    def _run(self, part: Plan, settings: Sequence[int]) -> dict[str, Line]:
        lines: dict[str, Line] = {}
        for setting, result in self.merged.run(part.queries, settings).items():
            last = self.lasts[setting]
            outputs = Outputs(last=last, rankings={last: []} if last else {})
            outputs.add(result)
            evaluation = outputs.measured(part, language=self.language)
            lines[self.merged.identity(setting)] = Line.of(result, evaluation)
        return lines


def _plans(
    dataset: Dataset, spec: Spec, split: str, tune: float, tune_split: str | None, measures: Sequence[str] | None
) -> tuple[Plan, Plan]:
    """What is asked for tuning and what for reporting; no query is in both."""
    plan = plan_for(dataset, spec, split=split, measures=measures)
    if tune_split is None:
        tuning, reporting = divided(plan.queries, tune)
        return plan.of(tuning), plan.of(reporting)
    if tune_split == split:
        raise SpecError(f"the split '{split}' cannot be both tuned and reported on; --tune divides its queries")
    other = plan_for(dataset, spec, split=tune_split, measures=measures)
    if both := {query.qid for query in plan.queries} & {query.qid for query in other.queries}:
        raise SpecError(
            f"{len(both)} queries are in both splits, '{tune_split}' and '{split}', first '{min(both)}': what is reported on "
            "them would be no result. Take them out of one, or divide one split (--tune)"
        )
    return other.of(in_order(other.queries)), plan.of(in_order(plan.queries))


def _first(tuning: Plan, reporting: Plan, measures: Sequence[str] | None) -> str:
    """The measure that settings are chosen by.

    Raises:
        SpecError: less of it is better, or it holds for no query of one side.
    """
    first = measure_name(measures[0] if measures else [*reporting.retrieval, *reporting.answers][0])
    for what, plan in (("tuning", tuning), ("reporting", reporting)):
        if first not in map(measure_name, [*plan.retrieval, *plan.answers]):
            raise SpecError(
                f"{first} holds for none of the {len(plan.queries)} {what} queries; name another measure first"
            )
    if first in LOW_IS_GOOD:
        raise SpecError(
            f"{first} is better where it is lower, and settings are chosen by the highest mean; name another first"
        )
    return first


def _distinct(merged: Merged, settings: int) -> list[int]:
    """Settings of which each gives something of its own; of equal ones the first."""
    first: dict[str, int] = {}
    for setting in range(settings):
        first.setdefault(merged.identity(setting), setting)
    return list(first.values())


def _digest(plan: Plan) -> str:
    """Of its queries, in order, with their filters."""
    anywhere = Identities(graph="", index="")
    return data_sha256([anywhere.key(query) for query in plan.queries])


def _tune(
    run: _Run,
    plan: Plan,
    numbers: Sequence[int],
    all_rounds: Sequence[Round],
    settings: Sequence[Setting],
    measure: str,
) -> dict[int, Tuned]:
    """Setting -> what is known of it when all rounds are over."""
    lines: dict[int, list[Line]] = {number: [] for number in numbers}
    going, begin = list(numbers), 0
    for each in all_rounds:
        if len(going) > each.settings:
            scores = {number: evaluation_of(lines[number]).measures.get(measure, 0.0) for number in going}
            going = better(scores, each.settings)
        for number, more in run.through(plan, going, begin=begin, end=each.queries, what="tuning").items():
            lines[number] += more
        begin = each.queries
    return {
        number: tuned(settings[number].label, settings[number].changes, lines[number], is_whole=number in going)
        for number in numbers
    }


def _report(run: _Run, tuning: Plan, plan: Plan, chosen: int, settings: Sequence[Setting], measure: str) -> Result:
    """The chosen setting and the graph as it was, on the queries that nothing was chosen by."""
    known = run.through(tuning, [chosen], begin=0, end=len(tuning.queries), what="tuning")[chosen]
    asked = list(dict.fromkeys([0, chosen]))
    lines = run.through(plan, asked, begin=0, end=len(plan.queries), what="reporting")
    before, after = evaluation_of(lines[0]), evaluation_of(lines[chosen])
    label = settings[chosen].label
    compared = None if chosen == 0 else compare_runs(before, {label: after}, measures=[measure])[label][0]
    return Result(
        label=label,
        before=before,
        after=after,
        interval=mean_interval(list(after.per_query[measure].values())),
        tuning=mean_interval(list(evaluation_of(known).per_query[measure].values())),
        compared=compared,
    )
