"""What came out when queries of a run were asked again, and why: noise, another version, another configuration.

What a query got twice is the same, ties in another order, other scores, or another ranking or answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from math import comb
from typing import Any, Literal

from rag.evaluate import Compared, strictly_falling
from rag.graphs import Change
from ragline_lab.drift.seen import Hits, Said, Seen

Kind = Literal["same", "ties", "scores", "ranking"]
"""What can be said of two rankings: the same documents in the same order with equal scores; equal scores in another order;
other scores in the same order; other documents, or another order."""

NOTHING = Seen(rankings={})
"""What a query got that failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryDrift:
    """How far a query got something else. `nodes`: those whose ranking is not the same, in the order of the graph.

    `before`, `now`: the answers, where they differ.
    """

    qid: str
    nodes: Mapping[str, Kind] = field(hash=False)
    answered_otherwise: bool = False
    before: Said | None = None
    now: Said | None = None

    @property
    def is_same(self) -> bool:
        return not self.nodes and not self.answered_otherwise

    @property
    def is_rounding(self) -> bool:
        """Whether nothing differs but the order of documents with equal scores."""
        return not self.answered_otherwise and all(kind == "ties" for kind in self.nodes.values())

    def as_dict(self) -> dict[str, Any]:
        answers = {"before": self.before and asdict(self.before), "now": self.now and asdict(self.now)}
        return {
            "qid": self.qid,
            "nodes": dict(self.nodes),
            **({"answers": answers} if self.answered_otherwise else {}),
        }


def drifts(
    before: Mapping[str, Seen],
    now: Mapping[str, Seen],
    qids: Iterable[str],
    nodes: Collection[str],
    *,
    tolerance: float,
) -> list[QueryDrift]:
    """How each query fared, in the order given. `nodes`: those that are compared, in the order of the graph."""
    return [_drift(qid, before.get(qid, NOTHING), now.get(qid, NOTHING), nodes, tolerance) for qid in qids]


def _drift(qid: str, before: Seen, now: Seen, nodes: Collection[str], tolerance: float) -> QueryDrift:
    kinds = {
        name: compared_hits(before.rankings.get(name, ()), now.rankings.get(name, ()), tolerance) for name in nodes
    }
    answered_otherwise = before.said != now.said
    return QueryDrift(
        qid=qid,
        nodes={name: kind for name, kind in kinds.items() if kind != "same"},
        answered_otherwise=answered_otherwise,
        before=before.said if answered_otherwise else None,
        now=now.said if answered_otherwise else None,
    )


def compared_hits(before: Hits, now: Hits, tolerance: float) -> Kind:
    """What became of a ranking.

    Scores are equal if they differ by at most `tolerance` times the largest of both rankings. A document that only one
    ranking has counts as tied if its score is that of the other's last hit: it was cut off there.

    >>> compared_hits((("a", 2.0), ("b", 1.0)), (("b", 1.0), ("a", 1.0)), 0.001)
    'ranking'
    >>> compared_hits((("a", 1.0), ("b", 1.0)), (("b", 1.0), ("c", 1.0)), 0.001)
    'ties'
    """
    if not before or not now:
        return "same" if not before and not now else "ranking"
    old, new = _falling(before), _falling(now)
    near = tolerance * max(abs(score) for scores in (old, new) for score in scores.values())
    close = all(abs(old[doc_id] - new[doc_id]) <= near for doc_id in old if doc_id in new)
    if list(old) == list(new):
        return "same" if close else "scores"
    cut = close and _cut_off(old, new, near) and _cut_off(new, old, near)
    return "ties" if cut else "ranking"


def _falling(hits: Hits) -> dict[str, float]:
    """Scores as a run file holds them, so that what was read from one compares with what was not."""
    return dict(zip((doc_id for doc_id, _ in hits), strictly_falling(score for _, score in hits), strict=True))


def _cut_off(one: Mapping[str, float], other: Mapping[str, float], near: float) -> bool:
    """Whether all that the other lacks is as good as its last hit."""
    last = min(other.values())
    return all(abs(score - last) <= near for doc_id, score in one.items() if doc_id not in other)


Verdict = Literal["same", "noise", "version", "configuration", "unexplained"]

VERDICTS: dict[Verdict, str] = {
    "same": "every query got what it got",
    "noise": "what differs, differs between two reruns as well, or is the order of equal scores",
    "version": "results differ, and so do libraries, machine or data types",
    "configuration": "results differ, and so do graph, prompts, models, index or data",
    "unexplained": "results differ, two reruns agree with one another, and no fact that was kept differs",
}
GOOD: Collection[Verdict] = ("same", "noise")
"""Verdicts of a run that still holds."""
LEVEL = 0.05
"""A surplus of differences that chance gives less often is no noise."""


def verdict_of(first: Sequence[QueryDrift], second: Sequence[QueryDrift], facts: Sequence[Change]) -> Verdict:
    """The verdict.

    Args:
        first: the run against a rerun.
        second: that rerun against another; nothing where none was needed.
        facts: those that changed.
    """
    if all(drift.is_same for drift in first):
        return "same"
    if all(drift.is_rounding for drift in first) or is_noise(first, second):
        return "noise"
    if any(change.is_of_what_ran for change in facts):
        return "configuration"
    return "version" if facts else "unexplained"


def is_noise(first: Sequence[QueryDrift], second: Sequence[QueryDrift]) -> bool:
    """Whether two reruns differ from one another as much as the run does from the first of them.

    A query that differs once and not the other time is as likely to differ here as there, if all is noise. So the surplus
    on the side of the run is held against a fair coin (McNemar's test, exact, one-sided).
    """
    here, there = differing(first), differing(second)
    if not there:
        return False
    return surplus_by_chance(len(here - there), len(there - here)) >= LEVEL


def differing(drifts: Sequence[QueryDrift]) -> set[str]:
    """Queries that differ by more than the order of equal scores."""
    return {drift.qid for drift in drifts if not drift.is_rounding}


def surplus_by_chance(more: int, less: int) -> float:
    """How often a fair coin falls `more` times or oftener on one side, of more + less throws.

    >>> surplus_by_chance(5, 0), surplus_by_chance(0, 0)
    (0.03125, 1.0)
    """
    n = more + less
    return float(sum(comb(n, k) for k in range(more, n + 1)) / 2**n)


_SAID_NOTHING = "none"
ANSWER = "answer"
"""Where a query differs whose rankings are all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """A run beside a rerun of some of its queries.

    `made_by`: the command that made the run. `of`: queries that it has; `left_out`: those that cannot be asked again, for
    the folder does not keep their filter or history. `drifts`: the run against the rerun, `reruns`: that rerun against
    another, where one was made; both in the order of asking. `keeps_facts`: whether all of the run says what made it.
    `facts`: those that changed. `measures`: the rerun against the run, over the queries that were asked.
    """

    run: str
    made_by: str
    of: int
    left_out: int
    tolerance: float
    drifts: tuple[QueryDrift, ...]
    reruns: tuple[QueryDrift, ...]
    keeps_facts: bool
    facts: tuple[Change, ...]
    measures: tuple[Compared, ...]

    @property
    def verdict(self) -> Verdict:
        return verdict_of(self.drifts, self.reruns, self.facts)

    @property
    def holds(self) -> bool:
        """Whether the run is still what its graph gives."""
        return self.verdict in GOOD

    @property
    def counts(self) -> dict[str, int]:
        """How many queries got the same, another order of equal scores alone, or something else."""
        same = sum(drift.is_same for drift in self.drifts)
        otherwise = len(differing(self.drifts))
        return {"same": same, "ties": len(self.drifts) - same - otherwise, "otherwise": otherwise}

    @property
    def first_at(self) -> Counter[str]:
        """Node -> queries that differ there first, by more than ties; `answer` where no ranking differs."""
        return Counter(
            next((node for node, kind in drift.nodes.items() if kind != "ties"), ANSWER)
            for drift in self.drifts
            if not drift.is_rounding
        )

    def as_dict(self) -> dict[str, Any]:
        """The documented JSON form (docs/reference/json.md)."""
        return {
            "run": self.run,
            "made_by": self.made_by,
            "verdict": self.verdict,
            "holds": self.holds,
            "queries": len(self.drifts),
            "of": self.of,
            "left_out": self.left_out,
            "tolerance": self.tolerance,
            "counts": self.counts,
            "first_at": dict(self.first_at),
            "reruns_differ": len(differing(self.reruns)) if self.reruns else None,
            "keeps_facts": self.keeps_facts,
            "facts": [change.as_dict() for change in self.facts],
            "measures": [measure.as_dict() for measure in self.measures],
            "drifts": [drift.as_dict() for drift in self.drifts if not drift.is_same],
        }


def lines_of(drift: Drift, *, queries: int) -> list[str]:
    """The report in lines, but for the measures. `queries`: of those that differ, how many are shown."""
    counts, n = drift.counts, len(drift.drifts)
    lines = [
        f"{drift.run}, made by {drift.made_by}: {n:,} of its {drift.of:,} queries asked again",
        f"verdict: {drift.verdict}: {VERDICTS[drift.verdict]}",
        f"  {counts['same']:,} queries the same, {counts['ties']:,} with equal scores in another order, "
        f"{counts['otherwise']:,} otherwise; scores are equal within {drift.tolerance:g} of the largest of a ranking",
    ]
    if drift.left_out:
        lines.append(f"  left out, as they had a filter or a history that the folder does not keep: {drift.left_out:,}")
    if first := drift.first_at:
        lines.append(f"  first at: {', '.join(f'{name} {count:,}' for name, count in first.most_common())}")
    if drift.reruns:
        lines.append(f"  two reruns, in other batches, differ on {len(differing(drift.reruns)):,} of the {n:,}")
    if not drift.keeps_facts:
        lines.append(
            "  all or part of the run is of an older format and keeps no facts: what made it cannot be compared"
        )
    lines += [f"  {change.told}" for change in drift.facts]
    shown = [each for each in drift.drifts if not each.is_rounding]
    return lines + [f"  {_told(each)}" for each in islice(shown, queries)]


def _told(drift: QueryDrift) -> str:
    parts = [f"{node} {kind}" for node, kind in drift.nodes.items()]
    if drift.answered_otherwise:
        before, now = (_SAID_NOTHING if said is None else f"{said.text!r:.60}" for said in (drift.before, drift.now))
        parts.append(f"answer {before} -> {now}")
    return f"{drift.qid}: {', '.join(parts)}"
