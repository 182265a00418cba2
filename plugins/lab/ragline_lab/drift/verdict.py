"""Why a run is no longer what its graph gives: by what differs, how often two reruns differ, and which facts changed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import comb
from typing import Literal

from rag.graphs import Change
from ragline_lab.drift.differing import QueryDrift

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
