"""What a sweep found: settings on the tuning queries with what a query cost, and the one result, on the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from rag.evaluate import Compared, Evaluation, Interval
from rag.graphs import Sharing
from ragline_lab.sweep.halves import Round
from ragline_lab.sweep.work import Line

SECONDS_ALIKE = 1.1
"""Seconds that differ by a smaller factor count as equal: they never come out the same twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """A setting on `queries` queries. Seconds, calls and tokens are those of a query. `failed`: queries without a record.

    `is_whole`: it was run on all tuning queries, so it may be chosen.
    """

    label: str
    changes: Mapping[str, Any]
    means: Mapping[str, float]
    queries: int
    failed: int
    seconds: float
    calls: float
    tokens: float
    is_whole: bool

    def as_dict(self) -> dict[str, Any]:
        return {
            "setting": self.label,
            "changes": dict(self.changes),
            "measures": dict(self.means),
            "queries": self.queries,
            "failed": self.failed,
            "per_query": {"seconds": self.seconds, "calls": self.calls, "tokens": self.tokens},
            "on_all_tuning_queries": self.is_whole,
        }


def tuned(label: str, changes: Mapping[str, Any], lines: Sequence[Line], *, is_whole: bool) -> Tuned:
    """Add up the lines of a setting."""
    n = sum(line.queries for line in lines)
    return Tuned(
        label=label,
        changes=changes,
        means=evaluation_of(lines).measures,
        queries=n,
        failed=sum(line.failed for line in lines),
        seconds=sum(line.seconds for line in lines) / max(n, 1),
        calls=sum(line.calls for line in lines) / max(n, 1),
        tokens=sum(line.tokens for line in lines) / max(n, 1),
        is_whole=is_whole,
    )


def evaluation_of(lines: Sequence[Line]) -> Evaluation:
    """The values of all queries, and their means."""
    values: dict[str, dict[str, float]] = {}
    for line in lines:
        for measure, of_batch in line.values.items():
            values.setdefault(measure, {}).update(of_batch)
    means = {measure: fmean(of.values()) for measure, of in values.items()}
    return Evaluation(measures=means, per_query=values, n_queries=sum(line.queries for line in lines))


def front(settings: Sequence[Tuned], measure: str) -> list[Tuned]:
    """The settings that no other is better than: better in quality, seconds or tokens, and worse in none of them.

    Only those that were run on all tuning queries are looked at, for figures over other queries do not compare.
    """
    whole = [each for each in settings if each.is_whole]
    return [each for each in whole if not any(_is_better(other, each, measure) for other in whole)]


def _is_better(one: Tuned, other: Tuned, measure: str) -> bool:
    mine, theirs = one.means.get(measure, 0.0), other.means.get(measure, 0.0)
    if mine < theirs or one.tokens > other.tokens or one.seconds > other.seconds * SECONDS_ALIKE:
        return False
    return mine > theirs or one.tokens < other.tokens or one.seconds * SECONDS_ALIKE < other.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The chosen setting beside the graph as it was, on the reporting queries. `interval`: of the chosen one's mean.

    `tuning`: the same on the tuning queries. `compared`: None where the graph as it was is what was chosen.
    """

    label: str
    before: Evaluation
    after: Evaluation
    interval: Interval
    tuning: Interval
    compared: Compared | None

    @property
    def verdict(self) -> str:
        """What the interval of the difference allows to say."""
        if self.compared is None:
            return "no setting was better than the graph as it was on the tuning queries"
        if self.compared.test.low > 0:
            return "better than the graph as it was"
        if self.compared.test.high < 0:
            return "worse than the graph as it was"
        return "not shown to be better than the graph as it was: the interval of the difference includes zero"


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepReport:
    """`settings`: in the order of the grid, the graph as it was first. `tune`: a share of the queries, or a split.

    `left_out`: settings that give what an earlier one gives. `sharing`: of all settings together.
    """

    dataset: str
    split: str
    tune: float | str
    graph: str
    measure: str
    left_out: int
    sharing: Sharing
    rounds: tuple[Round, ...]
    settings: tuple[Tuned, ...]
    result: Result
    index: str
    command: tuple[str, ...] = ()

    @property
    def chosen(self) -> Tuned:
        """What was chosen, on the tuning queries."""
        return next(each for each in self.settings if each.label == self.result.label)

    @property
    def tuning_queries(self) -> int:
        return self.rounds[-1].queries

    def ranked(self) -> list[Tuned]:
        """The settings, those on all tuning queries first, then the highest mean; of equal ones the earlier."""
        return sorted(self.settings, key=lambda each: (-each.queries, -each.means.get(self.measure, 0.0)))

    def front(self) -> list[Tuned]:
        """The settings that no other is better than in quality, seconds and tokens, in order."""
        return front(self.settings, self.measure)

    def as_dict(self) -> dict[str, Any]:
        """The documented JSON form (docs/reference/json.md)."""
        best = {each.label for each in self.front()}
        result, compared = self.result, self.result.compared
        difference = {} if compared is None else {"comparison": compared.as_dict()}
        return {
            "dataset": self.dataset,
            "split": self.split,
            "tune": self.tune,
            "graph": self.graph,
            "index": self.index,
            "measure": self.measure,
            "nodes": {
                "settings": self.sharing.settings,
                "left_out": self.left_out,
                "of_all": self.sharing.nodes,
                "run": self.sharing.distinct,
                "spared": self.sharing.spared,
            },
            "rounds": [{"settings": each.settings, "queries": each.queries} for each in self.rounds],
            "tuning": {
                "queries": self.tuning_queries,
                "chosen": result.label,
                "interval": asdict(result.tuning),
                "settings": [{**each.as_dict(), "front": each.label in best} for each in self.settings],
            },
            "result": {
                "queries": result.after.n_queries,
                "as_it_was": dict(result.before.measures),
                "chosen": dict(result.after.measures),
                "interval": asdict(result.interval),
                **difference,
                "verdict": result.verdict,
            },
            **({"command": list(self.command)} if self.command else {}),
        }


def lines_of(report: SweepReport) -> list[str]:
    """The report in sentences, but for the table of settings."""
    sharing, result = report.sharing, report.result
    tuning = f"{report.tuning_queries:,} tuning and {result.after.n_queries:,} reporting queries"
    same = f"; left out, for it gives what another gives: {report.left_out:,}" if report.left_out else ""
    lines = [
        f"{report.dataset} ({report.split}), graph {report.graph}: {sharing.settings:,} settings, the graph as it was among "
        f"them{same}; {tuning}",
        f"{sharing.distinct:,} of {sharing.nodes:,} nodes are run, {sharing.spared:,} have their records from another setting",
    ]
    if len(report.rounds) > 1:
        steps = ", ".join(f"{each.settings:,} on {each.queries:,} queries" for each in report.rounds)
        lines.append(f"by halving, which can lose the best setting: {steps}")
    return [*lines, f"chosen by {report.measure} on the tuning queries: {result.label}"]


def result_lines(report: SweepReport) -> list[str]:
    """The one result, on the reporting queries."""
    result, compared = report.result, report.result.compared
    own = result.interval
    mean = result.after.measures[report.measure]
    lines = [f"result, on {own.n:,} queries that nothing was chosen by:"]
    if compared is None:
        lines.append(f"{report.measure} {mean:.4f}, 95% [{own.low:.4f}, {own.high:.4f}]")
    else:
        test = compared.test
        lines.append(
            f"{report.measure} {compared.baseline:.4f} -> {compared.run:.4f}, {test.difference:+.4f}, 95% [{test.low:+.4f}, "
            f"{test.high:+.4f}], p = {test.p:.4f}; {len(compared.gained):,} queries gained, {len(compared.lost):,} lost"
        )
    return [*lines, result.verdict]


def rows_of(report: SweepReport, settings: Sequence[Tuned]) -> list[tuple[str, ...]]:
    """A row for each setting, below the names of the columns."""
    best, chosen = {each.label for each in report.front()}, report.chosen.label
    others = [name for name in report.chosen.means if name != report.measure]
    head = ("setting", report.measure, *others, "queries", "s/query", "tokens/query", "front")
    rows = [head]
    for each in settings:
        means = (f"{each.means[name]:.4f}" if name in each.means else "" for name in (report.measure, *others))
        mark = " (chosen)" if each.label == chosen else ""
        cost = (f"{each.queries:,}", f"{each.seconds:.4f}", f"{each.tokens:,.1f}")
        rows.append((f"{each.label}{mark}", *means, *cost, "yes" if each.label in best else ""))
    return rows
