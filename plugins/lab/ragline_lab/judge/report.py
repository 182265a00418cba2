"""What a judge said of a run: figures with intervals, what could not be read, and how often that judge is right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean
from typing import Any

from rag.evaluate import Compared, Evaluation, Interval, compare_runs, mean_interval
from ragline_lab.judge.agreement import UNMEASURED, Agreement, Kind
from ragline_lab.judge.verdicts import MEASURES, PREFERRED, WORTH, Judged


@dataclass(frozen=True, kw_only=True)
class JudgeReport:
    """Verdicts on one run, or on two. `names`: of the runs. `known`: qids that something is taken as true about.

    `source`: what that is, in words; empty where nothing is.
    """

    judge: str
    identity: Mapping[str, Any] = field(hash=False)
    names: tuple[str, ...]
    source: str
    agreement: Agreement | None
    judged: tuple[Judged, ...]
    known: frozenset[str]

    @cached_property
    def evaluations(self) -> dict[str, Evaluation]:
        """Run -> its measures, of the questions that each holds for. The first run's include the preference for it."""
        found = {}
        for side, name in enumerate(self.names):
            columns = {
                measure: {one.qid: one.scores[side][measure] for one in self.judged if measure in one.scores[side]}
                for measure in MEASURES
            }
            if side == 0:
                columns[PREFERRED] = {
                    one.qid: WORTH[one.preferred.verdict]
                    for one in self.judged
                    if one.preferred is not None and one.preferred.verdict in WORTH
                }
            columns = {measure: values for measure, values in columns.items() if values}
            means = {measure: fmean(values.values()) for measure, values in columns.items()}
            found[name] = Evaluation(measures=means, per_query=columns, n_queries=len(self.judged))
        return found

    @cached_property
    def intervals(self) -> dict[str, dict[str, Interval]]:
        """Run -> measure -> the 95% interval of its mean."""
        return {
            name: {measure: mean_interval(list(values.values())) for measure, values in one.per_query.items()}
            for name, one in self.evaluations.items()
        }

    @cached_property
    def compared(self) -> list[Compared]:
        """The nuggets of the first run against those of the second, over the questions that both have a value for."""
        if len(self.names) < 2:
            return []
        run, other = (self.evaluations[name] for name in self.names)
        measures = [measure for measure in MEASURES if measure in run.per_query and measure in other.per_query]
        if not measures:
            return []
        return compare_runs(other, {self.names[0]: run}, measures=measures, common=True)[self.names[0]]

    @property
    def preferences(self) -> Counter[str]:
        """How often which verdict: first, second, tie (same text), tie (order), unreadable."""
        said = [one.preferred for one in self.judged if one.preferred is not None]
        return Counter(f"{each.verdict} ({each.why})" if each.why else each.verdict for each in said)

    @property
    def unreadable(self) -> dict[str, tuple[int, int]]:
        """What was asked -> how many replies could not be read, of how many."""
        asked = [one for one in self.judged if one.qid in self.known]
        supports = [support for one in asked for side in one.supports for support in side]
        counts = {
            "lists of nuggets": (sum(not one.readable for one in asked), len(asked)),
            "importance of a fact": (
                sum(one.unread for one in asked),
                sum(one.unread + len(one.nuggets) for one in asked),
            ),
            "support of a nugget": (sum(support is None for support in supports), len(supports)),
            "preferences": (self.preferences["unreadable"], self.preferences.total()),
        }
        return {what: (bad, n) for what, (bad, n) in counts.items() if n}

    def told(self, kind: Kind) -> str:
        """What is known of the judge, for verdicts of a kind."""
        return UNMEASURED if self.agreement is None else self.agreement.told(kind)

    def as_dict(self) -> dict[str, Any]:
        """The documented JSON form (docs/reference/json.md)."""
        measures = {
            name: {
                measure: {"mean": self.evaluations[name].measures[measure], "n": i.n, "low": i.low, "high": i.high}
                for measure, i in of_run.items()
            }
            for name, of_run in self.intervals.items()
        }
        return {
            "judge": {"name": self.judge, **self.identity},
            "agreement": None if self.agreement is None else self.agreement.model_dump(mode="json"),
            "runs": list(self.names),
            "taken_as_true": self.source or None,
            "questions": len(self.judged),
            "with_nuggets": sum(bool(one.nuggets) for one in self.judged),
            "measures": measures,
            "comparison": [one.as_dict() for one in self.compared],
            "preferences": dict(self.preferences),
            "unreadable": {what: {"unreadable": bad, "of": n} for what, (bad, n) in self.unreadable.items()},
            "by_query": [{k: v for k, v in one.as_record().items() if k != "key"} for one in self.judged],
        }

    def lines(self) -> list[str]:
        """The report as text: every judged figure with what is known of the judge beside it."""
        told = [f"{len(self.judged):,} questions, judged by {self.judge}"]
        if self.source:
            bare = len(self.judged) - len(self.known & {one.qid for one in self.judged})
            without = f"; {bare:,} questions have none" if bare else ""
            told.append(f"nuggets of {self.source}{without}")
        for name, of_run in self.intervals.items():
            told += [
                f"  {name}: {measure} {self.evaluations[name].measures[measure]:.4f} 95% [{i.low:.4f}, {i.high:.4f}] of "
                f"{i.n:,}   ({self.told('preference' if measure == PREFERRED else 'nuggets')})"
                for measure, i in of_run.items()
            ]
        for each in self.compared:
            test = each.test
            told.append(
                f"  {self.names[0]} against {self.names[1]}: {each.measure} {test.difference:+.4f} "
                f"95% [{test.low:+.4f}, {test.high:+.4f}], p = {each.p:.4f} of {len(each.differences):,}   "
                f"({self.told('nuggets')})"
            )
        if self.preferences:
            said = {"first": self.names[0], "second": self.names[1]}
            told.append(
                "  preferred: "
                + ", ".join(f"{said.get(verdict, verdict)} {n:,}" for verdict, n in self.preferences.most_common())
                + f"   ({self.told('preference')})"
            )
        told += [f"  unreadable: {what} {bad:,} of {n:,} ({bad / n:.1%})" for what, (bad, n) in self.unreadable.items()]
        return told
