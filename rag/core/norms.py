"""Score normalisation for fusion: scores of one list, best first -> values, and what a missing document gets.

Only differences within the list count, so the order of the list is always kept, whatever the scale or sign.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

Norm = Callable[[Sequence[float]], tuple[list[float], float]]

FLOOR = 1e-9  # of every denominator


def min_max(scores: Sequence[float]) -> tuple[list[float], float]:
    """(s - min) / (max - min), missing 0. A list without spread, such as one of a single document, gets 1."""
    low, high = min(scores, default=0.0), max(scores, default=0.0)
    if low == high:
        return [1.0] * len(scores), 0.0
    return [(score - low) / max(high - low, FLOOR) for score in scores], 0.0


def z_score(scores: Sequence[float]) -> tuple[list[float], float]:
    """(s - mean) / standard deviation. Missing gets the list's lowest value, since 0 would be its mean."""
    if not scores:
        return [], 0.0
    mean = math.fsum(scores) / len(scores)
    deviation = math.sqrt(math.fsum((score - mean) ** 2 for score in scores) / len(scores))
    values = [(score - mean) / max(deviation, FLOOR) for score in scores]
    return values, min(values)


def by_max(scores: Sequence[float]) -> tuple[list[float], float]:
    """s / |max|. Missing gets 0, or the list's lowest value where that is below 0."""
    scale = max(abs(max(scores, default=0.0)), FLOOR)
    values = [score / scale for score in scores]
    return values, min(0.0, *values) if values else 0.0


def by_sum(scores: Sequence[float]) -> tuple[list[float], float]:
    """(s - min) / sum of those, so that a list adds 1 in all; evenly if it has no spread. Missing 0."""
    if not scores:
        return [], 0.0
    low = min(scores)
    above = [score - low for score in scores]
    total = math.fsum(above)
    if total == 0:
        return [1.0 / len(scores)] * len(scores), 0.0
    return [value / max(total, FLOOR) for value in above], 0.0


def by_rank(scores: Sequence[float]) -> tuple[list[float], float]:
    """1 - (rank - 1) / n, by position; missing 0."""
    return [1.0 - position / len(scores) for position in range(len(scores))], 0.0


NORMS: Mapping[str, Norm] = MappingProxyType(
    {"min_max": min_max, "z_score": z_score, "max": by_max, "sum": by_sum, "rank": by_rank}
)
