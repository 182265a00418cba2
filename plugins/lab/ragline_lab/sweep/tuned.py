"""What is known of a setting on the queries that it was run on: means, and what a query cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from rag.evaluate import Evaluation
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
