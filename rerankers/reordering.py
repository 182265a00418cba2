"""Rankings reordered by an algorithm that asks a model, all in step."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from rag.core.in_step import Ask, Places, Shown, answered, remembered, tagged, together
from rag.core.types import Ranking
from rerankers.work import Work, warn

Algorithm = Callable[[int], Ask[Shown, Places, list[int]]]
"""Number of documents -> an algorithm that finds their order."""

Judge = Callable[[list[tuple[Work, Shown]]], list[Places]]


def reordered(
    rankings: Sequence[Ranking],
    algorithm: Algorithm,
    judge: Judge,
    *,
    k: int,
    depth: int | None,
    by: str,
    remember: bool = False,
) -> list[Ranking]:
    """Each ranking in the order that the algorithm finds; every step is one batch for the judge.

    Args:
        remember: what was asked about the same query text and passage texts, in the same order, is not asked again.
    """
    works = [Work.of(ranking, depth) for ranking in rankings]
    asks = [algorithm(len(work.documents)) for work in works]
    if remember:
        memory: dict[Hashable, Places] = {}
        asks = [remembered(ask, memory, _texts(work)) for ask, work in zip(asks, works, strict=True)]
    orders = answered(together([tagged(ask, work) for ask, work in zip(asks, works, strict=True)]), judge)
    warn(works, by=by)
    return [work.in_order(order, k=k) for work, order in zip(works, orders, strict=True)]


def _texts(work: Work) -> Callable[[Shown], Hashable]:
    def key(shown: Shown) -> Hashable:
        return (work.ranking.query.text, *(work.documents[item].full_text for item in shown))

    return key
