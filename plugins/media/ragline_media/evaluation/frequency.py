"""Whether what is seldom said is seldom found: accuracy against how often a concept occurs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Trend:
    """accuracy = offset + slope * log10(count), by least squares. `r2`: the share of the variance that it tells, 0 to 1."""

    slope: float
    offset: float
    r2: float
    n: int


def trend(accuracy: Mapping[str, float], counts: Mapping[str, int]) -> Trend:
    """The line through concepts that occur at least once (Udandarao et al., NeurIPS 2024).

    Raises:
        ValueError: fewer than three concepts occur, or all as often, so that there is no line.
    """
    from scipy.stats import linregress

    names = [name for name in accuracy if counts.get(name, 0) > 0]
    x, y = np.log10([counts[name] for name in names]), np.array([accuracy[name] for name in names])
    if len(names) < 3 or np.ptp(x) == 0:
        raise ValueError(
            f"trend needs three concepts that occur, not all as often; {len(names)} of {len(accuracy)} occur"
        )
    line = linregress(x, y)
    return Trend(float(line.slope), float(line.intercept), float(line.rvalue**2) if np.ptp(y) else 1.0, len(names))


def concept_counts(captions: Iterable[str], concepts: Sequence[str]) -> dict[str, int]:
    """In how many captions each concept occurs, as whole words, whatever their case, in the plural too (with an s).

    >>> concept_counts(["Two red buses", "a busy road", "A BUS"], ["bus", "road"])
    {'bus': 1, 'road': 1}
    """
    patterns = {name: re.compile(rf"(?<!\w){re.escape(name.casefold())}s?(?!\w)") for name in concepts}
    found = Counter[str]()
    for caption in captions:
        text = caption.casefold()
        found.update(name for name, pattern in patterns.items() if pattern.search(text))
    return {name: found[name] for name in concepts}
