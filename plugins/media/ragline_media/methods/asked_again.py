"""Asked once more: texts by the names of what a picture is like, and of the first finds whether they answer, yes or no."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rag.ranking import min_max

DEPTH = 10
PROMPT = "{question}\nDoes this picture answer that? Answer Yes or No."


class Seer(Protocol):
    """A model that sees. None comes with ragline, so whoever has one writes these lines for it."""

    def yes_or_no(self, prompt: str, pictures: Sequence[bytes]) -> Sequence[tuple[float, float]]:
        """For each picture the logarithms of how probable Yes and No are as the first words of an answer, of all their forms."""
        ...


def by_yes_or_no(
    question: str,
    pictures: Sequence[bytes],
    scores: Sequence[float],
    *,
    seer: Seer,
    depth: int = DEPTH,
    share: float = 1.0,
) -> list[tuple[int, float]]:
    """Places of pictures in their new order, each with the probability of Yes among both (MM-Embed: Lin et al., ICLR 2025, its
    third part).

    The first `depth` are judged, and stay before the others, which keep their order and have 0. What is judged alike keeps its
    order. share: how much the judgement counts; the rest is the first stage's score, brought to 0 to 1 among the judged.

    Raises:
        ValueError: scores that do not fit, or what was answered are no logarithms.
    """
    if len(pictures) != len(scores):
        raise ValueError(f"by_yes_or_no: {len(scores)} scores for {len(pictures)} pictures")
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    first, rest = order[:depth], order[depth:]
    if not len(first):
        return []
    told = np.array(seer.yes_or_no(PROMPT.format(question=question), [pictures[n] for n in first]), np.float64)
    if told.shape != (len(first), 2) or np.isnan(told).any() or (told == np.inf).any():
        raise ValueError(f"by_yes_or_no: the model's answers are no logarithms of two words for {len(first)} pictures")
    judged = _share_of_yes(told)
    whole = share * judged + (1 - share) * np.array(min_max([scores[n] for n in first])[0])
    again = [(int(first[n]), float(whole[n])) for n in np.argsort(-whole, kind="stable")]
    return [*again, *((int(place), 0.0) for place in rest)]


def _share_of_yes(told: NDArray[np.float64]) -> NDArray[np.float64]:
    """[n] of [n, 2]: a half where neither is said at all."""
    both = told.max(axis=1, keepdims=True)
    powers = np.exp(told - np.where(np.isfinite(both), both, 0))
    total = powers.sum(axis=1)
    share: NDArray[np.float64] = np.divide(powers[:, 0], total, out=np.full(len(told), 0.5), where=total > 0)
    return share


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
