"""Lessons as rows of one question, so many candidates, and what the teacher says of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from ragline_train.pseudo import Case
from ragline_train.teaching.task import Example, texts_of, ways

LEAST = 1e-6
"""Of a share, so that it has a logarithm."""
_SPREAD_BY = 24
"""Questions that say how far scores spread."""


def share_rows(cases: Sequence[Case], n: int) -> list[Example]:
    """`query`, `document_1` to `document_n`, and `label`: the logarithms of their shares, of which a softmax gives the shares."""
    return [
        {
            "query": case.query,
            **{f"document_{at}": texts_of(case)[place] for at, place in enumerate(places, start=1)},
            "label": [log_share(case.grades[place]) for place in places],
        }
        for case in cases
        for places in [ways(case, n)]
    ]


def log_share(grade: float) -> float:
    """Of a grade from 0 to 1."""
    return math.log(max(LEAST, grade))


def document_columns(n: int) -> list[str]:
    """Names of the columns with candidates."""
    return [f"document_{at}" for at in range(1, n + 1)]


def matching_temperature(cases: Sequence[Case], scores: Callable[[Case], NDArray[np.float64]]) -> float:
    """What a model's scores are divided by so that they spread over candidates as the logarithms of the teacher's shares do.

    A model whose scores spread more is first taught to make all of them smaller, and forgets what it knows over that.

    Args:
        scores: of a case's candidates, by the model as it begins.
    Returns:
        A number above 0; 1 where the model or the teacher finds all alike.
    """
    some = [cases[place] for place in np.linspace(0, len(cases) - 1, min(_SPREAD_BY, len(cases))).astype(int)]
    ours = fmean(float(np.std(scores(case))) for case in some)
    theirs = fmean(float(np.std([log_share(grade) for grade in case.grades])) for case in some)
    return ours / theirs if ours > 0 and theirs > 0 else 1.0
