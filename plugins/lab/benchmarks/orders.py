"""Do two orders of the same systems agree (Kendall's tau-b)?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_DRAWS = 2_000


def kendall_tau(values: Sequence[float], others: Sequence[float]) -> float | None:
    """Kendall's tau-b of two values of the same systems: 1 for the same order, -1 for the reverse; ties count on both sides.

    None where one side has the same value for all, and so no order.

    >>> round(kendall_tau([1, 2, 3, 4], [1, 3, 2, 4]) or 0, 3)
    0.667
    """
    from scipy.stats import kendalltau

    if len(set(values)) < 2 or len(set(others)) < 2:
        return None
    tau = float(kendalltau(values, others).statistic)
    return None if math.isnan(tau) else tau


@dataclass(frozen=True, slots=True, kw_only=True)
class Tau:
    """Kendall's tau-b with its 95% interval, and how many systems it is of. `drawn`: resamples that had an order."""

    tau: float
    low: float
    high: float
    systems: int
    drawn: int


Values = Mapping[str, Mapping[str, float]]
"""System -> qid -> value."""


def tau_of_means(ours: Values, theirs: Values, *, n: int = _DRAWS, seed: int = 0) -> Tau | None:
    """How far two sets of queries order systems alike by their means; None where one set tells no two systems apart.

    The interval is the percentile bootstrap over queries: those of both sides are drawn anew, each side by itself, all
    systems of a side with the same queries.

    Raises:
        ValueError: the two sides are not of the same systems, or queries of a side are not the same for all systems.
    """
    names = list(ours)
    if ours.keys() != theirs.keys():
        raise ValueError("both sides want the same systems")
    tables = [_table(side, names) for side in (ours, theirs)]
    tau = kendall_tau(*(table.mean(axis=1).tolist() for table in tables))
    if tau is None:
        return None
    random = np.random.default_rng(seed)
    drawn = [
        value
        for _ in range(n)
        if (value := kendall_tau(*(_drawn_means(table, random) for table in tables))) is not None
    ]
    low, high = np.percentile(drawn, [2.5, 97.5]) if drawn else (tau, tau)
    return Tau(tau=tau, low=float(low), high=float(high), systems=len(names), drawn=len(drawn))


def _table(side: Values, names: Sequence[str]) -> NDArray[np.float64]:
    """float64 [systems, queries]."""
    qids = list(side[names[0]])
    if any(side[name].keys() != side[names[0]].keys() for name in names):
        raise ValueError("all systems of a side want values for the same queries")
    return np.array([[side[name][qid] for qid in qids] for name in names], dtype=np.float64)


def _drawn_means(table: NDArray[np.float64], random: np.random.Generator) -> list[float]:
    chosen = random.integers(0, table.shape[1], size=table.shape[1])
    means: list[float] = table[:, chosen].mean(axis=1).tolist()
    return means
