"""A small logistic model over standardised signals, fit by Newton's method. Pure functions of arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RIDGES = (1.0, 3.0, 10.0, 30.0)
"""Pulls of weights towards 0 that are tried."""

Signals = Mapping[str, float | None]
"""Name -> value; None where an answer has no such signal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Logistic:
    """The chance of a right answer, 1 / (1 + exp(-(intercept + sum of weight * (signal - mean) / spread))).

    A signal that an answer lacks counts as its mean.
    """

    names: tuple[str, ...]
    means: tuple[float, ...]
    spreads: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float

    def __post_init__(self) -> None:
        if not len(self.names) == len(self.means) == len(self.spreads) == len(self.weights):
            raise ValueError("names, means, spreads and weights are not equally many")
        if not all(spread > 0 for spread in self.spreads):
            raise ValueError("a spread is not above 0")

    def __call__(self, signals: Signals) -> float:
        """The chance, from 0 to 1."""
        z = self.intercept
        for name, mean, spread, weight in zip(self.names, self.means, self.spreads, self.weights, strict=True):
            value = signals.get(name)
            if value is not None:
                z += weight * (value - mean) / spread
        return float(1 / (1 + np.exp(-np.clip(z, -30, 30))))


def fit(rows: Sequence[Signals], right: Sequence[bool], *, ridge: float = 1.0) -> Logistic:
    """The model with the greatest likelihood less ridge / 2 times the squared weights; the intercept is free.

    Signals that no row has, or that are the same in all, are left out. Where all answers are right, or all wrong, the chance is
    that of one wrong, or right, answer more.

    Args:
        ridge: pulls weights towards 0: a few dozen answers cannot carry a dozen of free ones.
    """
    names = [
        name
        for name in dict.fromkeys(name for row in rows for name in row)
        if len({row.get(name) for row in rows if row.get(name) is not None}) > 1
    ]
    values = np.array([[_number(row.get(name)) for name in names] for row in rows], dtype=np.float64)
    values = values.reshape(len(rows), len(names))
    means, spreads = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    x = np.nan_to_num((values - means) / spreads, nan=0.0)
    y = np.array(right, dtype=np.float64)
    weights, intercept = _newton(x, y, ridge) if 0 < y.sum() < len(y) else (np.zeros(len(names)), _even(y))
    return Logistic(
        names=tuple(names),
        means=tuple(map(float, means)),
        spreads=tuple(map(float, spreads)),
        weights=tuple(map(float, weights)),
        intercept=float(intercept),
    )


def crossed(rows: Sequence[Signals], right: Sequence[bool], *, folds: int = 5, ridge: float = 1.0) -> list[float]:
    """The chance of each answer by a model that did not see it: answers are dealt out to `folds`, in their order."""
    n = min(folds, len(rows))
    chances = [0.0] * len(rows)
    for fold in range(n):
        others = [place for place in range(len(rows)) if place % n != fold]
        model = fit([rows[place] for place in others], [right[place] for place in others], ridge=ridge)
        for place in range(fold, len(rows), n):
            chances[place] = model(rows[place])
    return chances


def best_ridge(rows: Sequence[Signals], right: Sequence[bool], *, among: Sequence[float] = RIDGES) -> float:
    """The pull under which models that did not see an answer find the labels likeliest; of equal ones the stronger."""
    return max(among, key=lambda ridge: (_log_likelihood(crossed(rows, right, ridge=ridge), right), ridge))


def _log_likelihood(chances: Sequence[float], right: Sequence[bool]) -> float:
    return math.fsum(math.log(p if good else 1 - p) for p, good in zip(chances, right, strict=True))


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _even(y: NDArray[np.float64]) -> float:
    """The log-odds of the labels with one more of either."""
    return float(np.log((y.sum() + 1) / (len(y) - y.sum() + 1)))


def _newton(x: NDArray[np.float64], y: NDArray[np.float64], ridge: float) -> tuple[NDArray[np.float64], float]:
    design = np.column_stack([np.ones(len(x)), x])
    penalty = np.diag([1e-6, *[ridge] * x.shape[1]])
    b = np.zeros(design.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(design @ b, -30, 30)))
        gradient = design.T @ (y - p) - penalty @ b
        step = np.linalg.solve(design.T @ (design * (p * (1 - p))[:, None]) + penalty, gradient)
        b += step
        if float(np.abs(step).max()) < 1e-8:
            break
    return b[1:], float(b[0])
