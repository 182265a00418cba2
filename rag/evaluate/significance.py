"""How sure is a mean over queries, and is a difference between two systems on the same queries more than luck?

Randomisation tests hold for retrieval measures without asking them to be normal (Smucker, Allan and
Carterette, CIKM 2007).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.evaluate.measures import Evaluation

_CELLS = 4_000_000  # numbers drawn at a time, so that memory does not grow with n times queries


@dataclass(frozen=True, kw_only=True)
class Significance:
    """Mean of a minus b, its two-sided p, and the 95% interval of the mean difference."""

    difference: float
    p: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Interval:
    """The 95% interval of a mean over `n` queries."""

    n: int
    low: float
    high: float


def mean_interval(values: Sequence[float], *, n: int = 10_000, seed: int = 0) -> Interval:
    """The percentile bootstrap of a mean; a single value is its own interval.

    Args:
        n: bootstrap samples.
    Raises:
        ValueError: there is no value, one is not finite, or n is below 1.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    sample = np.asarray(values, dtype=np.float64)
    if not len(sample) or not np.all(np.isfinite(sample)):
        raise ValueError("at least one value is wanted, and only finite ones")
    low, high = np.percentile(_bootstrap(sample, n, np.random.default_rng(seed)), [2.5, 97.5])
    return Interval(n=len(sample), low=float(low), high=float(high))


def paired_randomisation(a: Sequence[float], b: Sequence[float], *, n: int = 10_000, seed: int = 0) -> Significance:
    """Compare two systems by their values on the same queries.

    p is the share of random swaps of a's and b's value within queries whose mean difference is at least as
    large as the one seen, either way. If 2^queries <= n, all swaps are tried and p is exact; else n are drawn
    and the seen one is counted with them, so p is never 0. The interval is the percentile bootstrap.

    Args:
        n: swaps, and bootstrap samples.
    Raises:
        ValueError: lengths differ, nothing is there, a value is not finite, or n is below 1.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    if len(a) != len(b) or not len(a):
        raise ValueError(f"both systems need a value for the same queries, at least one: {len(a)} and {len(b)}")
    differences = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    if not np.all(np.isfinite(differences)):
        raise ValueError("a value is not a finite number")
    random = np.random.default_rng(seed)
    seen = float(differences.mean())
    low, high = np.percentile(_bootstrap(differences, n, random), [2.5, 97.5])
    return Significance(difference=seen, p=_p(differences, n, random), low=float(low), high=float(high))


def compare(ours: Evaluation, theirs: Evaluation, *, n: int = 10_000, seed: int = 0) -> dict[str, Significance]:
    """Measure -> ours against theirs, for the measures that both have.

    Raises:
        ValueError: they were measured on different queries.
    """
    tests = {}
    for measure in (name for name in ours.per_query if name in theirs.per_query):
        mine, other = ours.per_query[measure], theirs.per_query[measure]
        if mine.keys() != other.keys():
            raise ValueError(
                f"{measure}: {len(mine.keys() ^ other.keys())} queries are measured on one side only; use the"
                " same judgements for both"
            )
        tests[measure] = paired_randomisation(list(mine.values()), [other[qid] for qid in mine], n=n, seed=seed)
    return tests


def holm(p_values: Sequence[float]) -> list[float]:
    """The p values corrected for being several (Holm, Scand. J. Statist. 1979), in input order."""
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for place, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, p_values[i] * (len(p_values) - place)))
        corrected[i] = highest
    return corrected


def _p(differences: NDArray[np.float64], n: int, random: np.random.Generator) -> float:
    size = len(differences)
    seen = abs(float(differences.sum()))
    tolerance = 1e-12 * float(np.abs(differences).sum())  # sums in another order differ in their last bits
    exact = size < 63 and 2**size <= n
    swaps = _all_signs(size) if exact else _random_signs(size, n, random)
    as_large = sum(int(np.sum(np.abs(signs @ differences) >= seen - tolerance)) for signs in swaps)
    return as_large / 2**size if exact else (as_large + 1) / (n + 1)


def _all_signs(size: int) -> Iterator[NDArray[np.float64]]:
    for rows in _slices(2**size, size):
        bits = (np.arange(rows.start, rows.stop)[:, None] >> np.arange(size)) & 1
        yield (bits * 2 - 1).astype(np.float64)


def _random_signs(size: int, n: int, random: np.random.Generator) -> Iterator[NDArray[np.float64]]:
    for rows in _slices(n, size):
        yield (random.integers(0, 2, size=(len(rows), size), dtype=np.int8) * 2 - 1).astype(np.float64)


def _bootstrap(values: NDArray[np.float64], n: int, random: np.random.Generator) -> NDArray[np.float64]:
    size = len(values)
    draws = (random.integers(0, size, size=(len(rows), size)) for rows in _slices(n, size))
    return np.concatenate([values[drawn].mean(axis=1) for drawn in draws])


def _slices(n: int, width: int) -> Iterator[range]:
    """0 to n in pieces of about _CELLS / width."""
    step = max(1, _CELLS // width)
    for start in range(0, n, step):
        yield range(start, min(n, start + step))
