"""What a sweep found: settings on the tuning queries, and the one result, on the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rag.evaluate import Compared, Evaluation, Interval
from rag.graphs import Sharing
from ragline_lab.sweep.halving import Round
from ragline_lab.sweep.tuned import Tuned, front


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
        """How many there are."""
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
