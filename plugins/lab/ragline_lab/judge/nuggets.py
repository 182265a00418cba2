"""Nuggets, and what an answer gets for those that it holds. Pure.

The form is that of TREC's RAG track (Pradeep et al., arXiv 2411.09607): a nugget is a fact that is vital to an answer or
okay to have, and an answer supports it in whole, in part or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Support = Literal["yes", "partly", "no"]
SUPPORTS: tuple[Support, ...] = ("yes", "partly", "no")

_WORTH: dict[Support, float] = {"yes": 1.0, "partly": 0.5, "no": 0.0}
_OKAY = 0.5
"""What an okay nugget weighs beside a vital one."""

VITAL_STRICT, WEIGHTED = "NuggetsVitalStrict", "NuggetsWeighted"
MEASURES = (VITAL_STRICT, WEIGHTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nugget:
    """A fact. `vital`: an answer must hold it; otherwise it is good to have."""

    text: str
    vital: bool


def nugget_scores(nuggets: Sequence[Nugget], supports: Sequence[Support | None]) -> dict[str, float]:
    """Measure -> value from 0 to 1. One that is not defined for these nuggets is not in it.

    Vital strict: the share of vital nuggets that are supported in whole. Weighted: a nugget in part counts half, an okay one
    half as much as a vital one, (sum over vital + half the sum over okay) / (vital + half the number of okay). A nugget
    whose support could not be read is left out of both.

    >>> facts = [Nugget(text="a", vital=True), Nugget(text="b", vital=True), Nugget(text="c", vital=False)]
    >>> nugget_scores(facts, ["yes", "partly", "partly"])
    {'NuggetsVitalStrict': 0.5, 'NuggetsWeighted': 0.7}
    """
    read = [(nugget, support) for nugget, support in zip(nuggets, supports, strict=True) if support is not None]
    vital = [_WORTH[support] for nugget, support in read if nugget.vital]
    okay = [_WORTH[support] for nugget, support in read if not nugget.vital]
    scores: dict[str, float] = {}
    if vital:
        scores[VITAL_STRICT] = sum(worth == 1.0 for worth in vital) / len(vital)
    if vital or okay:
        scores[WEIGHTED] = (sum(vital) + _OKAY * sum(okay)) / (len(vital) + _OKAY * len(okay))
    return scores
