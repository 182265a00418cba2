"""What scores come to over all documents of an index, from sums of them. Numbers are rounded to 24 bits.

The same sums can be added up in several orders: part after part, or compiled. Rounded, they come to the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from rag.core.types import Population


def population_of(n: int, total: float, squares: float, *, floor: float = 0.0) -> Population:
    """Of `n` scores that sum to `total`, and whose squares sum to `squares`. `floor`: what is added to each of them."""
    if not n:
        return Population(n=0, mean=0.0, deviation=0.0)
    mean = total / n
    return _rounded(n, mean + floor, squares / n - mean * mean)


def merged_population(populations: Sequence[Population]) -> Population:
    """Of all of these as of one."""
    n = sum(each.n for each in populations)
    if not n:
        return Population(n=0, mean=0.0, deviation=0.0)
    mean = sum(each.n * each.mean for each in populations) / n
    square = sum(each.n * (each.deviation**2 + each.mean**2) for each in populations) / n
    fit = sum(each.n * each.fit for each in populations) / n
    return _rounded(n, mean, square - mean * mean, fit=fit)


def scaled_population(population: Population, factor: float) -> Population:
    """Of the same scores, each times a factor above 0."""
    return _rounded(population.n, population.mean * factor, (population.deviation * factor) ** 2, fit=population.fit)


def shifted_population(
    population: Population, shares: NDArray[np.float64], means: NDArray[np.float64], shifts: NDArray[np.float64]
) -> Population:
    """Of the same scores, each less the shift of its group. `shares`: of the groups, and `means`: of their scores."""
    shift = float(shares @ shifts)
    together = float(shares @ (means * shifts)) - population.mean * shift  # their covariance
    variance = population.deviation**2 - 2 * together + float(shares @ shifts**2) - shift**2
    return _rounded(population.n, population.mean - shift, variance, fit=population.fit)


def _rounded(n: int, mean: float, variance: float, *, fit: float = 1.0) -> Population:
    deviation = sqrt(max(variance, 0.0))
    return Population(n=n, mean=float(np.float32(mean)), deviation=float(np.float32(deviation)), fit=fit)
