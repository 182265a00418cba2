"""Lessons as rows of one question, so many candidates, and what the teacher says of each."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ragline_train.pseudo import Case
from ragline_train.teaching.task import Example, texts_of, ways

LEAST = 1e-6
"""Of a share, so that it has a logarithm."""


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
