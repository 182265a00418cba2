"""Fits of a calibration: how sure an answer is, which questions to stop, what a score is worth. Pure functions of arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rag.evaluate import Gate, Logistic, Scale

RIDGES = (1.0, 3.0, 10.0, 30.0)
"""Pulls of weights towards 0 that are tried."""
KEPT = 0.95
"""Of the right answers that a gate is learnt from, the share that it lets be written."""
_LEAST = 10
"""Right answers, and questions that got none, that a gate is learnt from at the least."""

Signals = Mapping[str, float | None]
"""Name -> value; None where an answer has no such signal."""


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
    values = np.array([[row.get(name) for name in names] for row in rows], dtype=np.float64)
    values = values.reshape(len(rows), len(names))
    means, spreads = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    x = np.nan_to_num((values - means) / spreads, nan=0.0)
    y = np.array(right, dtype=np.float64)
    if 0 < y.sum() < len(y):
        weights, intercept = _newton(x, y, ridge)
    else:  # the log-odds of the labels with one more of either
        weights, intercept = np.zeros(len(names)), float(np.log((y.sum() + 1) / (len(y) - y.sum() + 1)))
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


def fit_gate(rows: Sequence[Signals], right: Sequence[bool], *, node: str) -> Gate | None:
    """A gate that lets nearly all through that were answered right, as models say that did not see them.

    Args:
        rows: signals before writing, of every question. `right`: whether its answer was given and right.
    Returns:
        None where too few were right or wrong to learn from, or where it would stop no question.
    """
    if min(sum(right), len(right) - sum(right)) < _LEAST:
        return None
    ridge = best_ridge(rows, right)
    chances = crossed(rows, right, ridge=ridge)
    kept = sorted(chance for chance, good in zip(chances, right, strict=True) if good)
    threshold = kept[int((1 - KEPT) * len(kept))]
    gate = Gate(node=node, model=fit(rows, right, ridge=ridge), threshold=threshold)
    return None if all(map(gate, rows)) else gate


def fit_scale(scores: Sequence[float], grades: Sequence[float]) -> Scale:
    """The rising steps that are nearest to the grades (isotonic regression; Zadrozny and Elkan, KDD 2002).

    Args:
        grades: of each score's document, from 0 to 1.
    Raises:
        ValueError: there are none.
    """
    from scipy.optimize import isotonic_regression

    if not scores:
        raise ValueError("a scale is fit on at least one score")
    order = np.argsort(np.asarray(scores, dtype=np.float64), kind="stable")
    x, y = np.asarray(scores, dtype=np.float64)[order], np.asarray(grades, dtype=np.float64)[order]
    distinct, first, counts = np.unique(x, return_index=True, return_counts=True)
    means = np.add.reduceat(y, first) / counts  # equal scores have one relevance
    risen = np.clip(isotonic_regression(means, weights=counts).x, 0.0, 1.0)
    # of every step its two ends
    ends = np.ones(len(risen), dtype=bool)
    ends[1:-1] = (risen[1:-1] != risen[:-2]) | (risen[1:-1] != risen[2:])
    return Scale(scores=tuple(map(float, distinct[ends])), relevance=tuple(map(float, risen[ends])))


def _log_likelihood(chances: Sequence[float], right: Sequence[bool]) -> float:
    return math.fsum(math.log(p if good else 1 - p) for p, good in zip(chances, right, strict=True))


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
