"""Cases as the heads of a model score them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rag.files import Progress, silent
from rag.protocols import Weights
from rag.writing import EveryHead
from ragline_train.heads.weighings import Example
from ragline_train.pseudo import Case


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseScores:
    """One case as all heads score it: real and null, float64 [n_heads, n_documents], and the grades, as `Case` has them."""

    real: NDArray[np.float64]
    null: NDArray[np.float64]
    grades: NDArray[np.float64]
    taught: bool = False

    def example(self, heads: slice, strength: float = 0.0) -> Example:
        null = self.null[heads]
        return Example(scores=self.real[heads] - strength * null, grades=self.grades, nulls=null, taught=self.taught)


Scored = tuple[EveryHead, list[CaseScores]]
"""The heads of a model, and the cases as these score them, heads in the same order."""


def score_cases(
    lent: Weights, cases: Sequence[Case], *, last_layer: int, max_tokens: int, progress: Progress = silent
) -> Scored:
    """Every readable head up to `last_layer` on every case, each document alone."""
    asked = [(case.query, case.candidates) for case in cases]
    heads = EveryHead.in_blocks(lent, asked, last_layer=last_layer, max_tokens=max_tokens, progress=progress)
    return heads, [
        replace(scored, taught=case.taught) for scored, case in zip(_graded(heads, cases), cases, strict=True)
    ]


def score_cases_in_one_prompt(
    lent: Weights, cases: Sequence[Case], *, context: int, last_layer: int, progress: Progress = silent
) -> Scored:
    """Every readable head up to `last_layer` on every case, its candidates in one prompt. `context`: the model's window.

    Grades count as steps here, a teacher's too.

    Raises:
        SpecError: a case's candidates do not fit into one prompt, or no layer can be read.
    """
    asked = [(case.query, case.candidates) for case in cases]
    heads = EveryHead.in_one_prompt(lent, asked, last_layer=last_layer, context=context, progress=progress)
    return heads, _graded(heads, cases)


def _graded(heads: EveryHead, cases: Sequence[Case]) -> list[CaseScores]:
    return [
        CaseScores(real=real, null=null, grades=np.array(case.grades))
        for (real, null), case in zip(heads.paid, cases, strict=True)
    ]
