"""A question about a picture, over texts: by the names of what the picture is like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RANK = 60
"""Of reciprocal rank fusion."""
_NEAR, _SOFT = 0.05, 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """What a picture shows. `about`: the first sentence on it. `score`: how like the picture is."""

    name: str
    about: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighted:
    """A question to search by, and how much what it finds counts."""

    text: str
    weight: float


def anchored(
    question: str, found: Sequence[Entity], *, floor: float = 0.0, k: int = 3, plain: float = 0.5
) -> list[Weighted]:
    """The questions to search texts by (RoRA-VLM: Qi et al., arXiv 2410.08876, its first two steps).

    What is as like the picture as the best, within .05, and above the floor, gives its name and its sentence to the question; each
    such question counts by a softmax of the likeness. One thing that was found twice counts once, by its best picture. The
    question as it is counts too, by `plain`; it is all there is where nothing is like the picture.

    Args:
        question: what is asked.
        found: the pictures most like the one that is asked about, best first.
        floor: likeness from which on a picture says anything.
        k: most pictures that are looked at.
        plain: weight of the question as it is.
    """
    near = [each for each in found[:k] if each.score >= max(floor, found[0].score - _NEAR)]
    best: dict[str, Entity] = {}
    for each in near:
        if each.name not in best or each.score > best[each.name].score:
            best[each.name] = each
    if not best:
        return [Weighted(text=question, weight=1.0)]
    powers = np.exp((np.array([each.score for each in best.values()]) - found[0].score) / _SOFT)
    shares = (powers / powers.sum()).tolist()
    expanded = [
        Weighted(text=f"{question} {each.name} {each.about}".strip(), weight=share)
        for each, share in zip(best.values(), shares, strict=True)
    ]
    return [*expanded, Weighted(text=question, weight=plain)]


def joined(lists: Sequence[tuple[Weighted, Sequence[str]]]) -> list[str]:
    """Ids of what several questions found, best first: the sum of weight / (60 + rank); of equal ones the first in the alphabet."""
    totals: dict[str, float] = {}
    for question, ids in lists:
        for rank, each in enumerate(ids, start=1):
            totals[each] = totals.get(each, 0.0) + question.weight / (RANK + rank)
    return sorted(totals, key=lambda each: (-totals[each], each))
