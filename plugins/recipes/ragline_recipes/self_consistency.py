"""Permutation self-consistency: another reranker's questions asked with their passages shuffled, the answers aggregated."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

from rag.protocols import LLM, Inline, JudgingReranker, NeedsPowers, ReadsFirst
from rag.types import Ranking
from rag.writing import require_positive

Shown = tuple[int, ...]  # numbers of passages, in the order in which a question shows them
Places = tuple[int, ...]  # in what was shown, best first, as many as the answer names
Order = Sequence[int]
Aggregate = Callable[[Sequence[Order]], list[int]]
Judge = Callable[..., list[Places]]
"""Questions, and perhaps lists with one entry for each question -> places."""


class SelfConsistencyReranker:
    """Permutation self-consistency over another reranker (Tang et al., NAACL 2024, arXiv 2310.07712).

    Each of its questions is asked `runs` times in one batch: as it is, and with its passages shuffled. What follows from
    where a passage stood in the prompt cancels out in the aggregate of the orders. It costs `runs` times as many calls.
    Replies that name no passage are left out of the aggregate; passages that one leaves out follow as they were shown.
    The paper repeats listwise prompts; one that asks for the best alone (setwise) is decided by the majority.

    Args:
        llm: the model that is asked.
        of: the reranker that is repeated: listwise, first, setwise, pairwise, tournament, or another that puts passages side
            by side before a judge. It asks this node's model where it names none.
        runs: how often each question is asked.
        aggregate: borda sums ranks. kemeny goes on from there: neighbours change places while most orders want it,
            which finds an order near the one that disagrees least with all.
        seed: of the shuffles.
        params: parameters of that reranker, such as window, depth or prompt.
    """

    def __init__(
        self,
        *,
        llm: LLM,
        of: Annotated[JudgingReranker, Inline(default="listwise", parameters="params")],
        runs: int = 5,
        aggregate: Literal["kemeny", "borda"] = "kemeny",
        seed: int = 0,
    ) -> None:
        if aggregate not in ("kemeny", "borda"):
            raise ValueError(f"rerank.self_consistency: aggregate must be kemeny or borda, got {aggregate!r}")
        require_positive("rerank.self_consistency", runs=runs)
        if isinstance(of, SelfConsistencyReranker):
            raise ValueError("rerank.self_consistency: 'of' repeats its questions already. Raise its runs instead")
        self.llm, self.repeated = llm, of
        order = kemeny if aggregate == "kemeny" else borda
        self.repeated.judge = consistent(self.repeated.judge, runs=runs, seed=seed, aggregate=order)
        self.needs: Sequence[str] = self.repeated.needs if isinstance(self.repeated, NeedsPowers) else ()

    @property
    def depth(self) -> int | None:
        """That of the reranker that is repeated; None: all, or it does not say."""
        return self.repeated.depth if isinstance(self.repeated, ReadsFirst) else None

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        """Each ranking's documents in the aggregated order, at most `k`; outcomes and counts are of all runs."""
        return self.repeated.rerank(rankings, k=k)


def consistent(judge: Judge, *, runs: int, seed: int, aggregate: Aggregate) -> Judge:
    """A judge that puts each question to another `runs` times, at first as it is, and answers with the aggregate."""

    def judged(questions: Sequence[tuple[Any, Shown]], **more: Sequence[Any] | None) -> list[Places]:
        shown = [shuffles(items, runs, seed) for _, items in questions]
        again = [(asker, items) for (asker, _), orders in zip(questions, shown, strict=True) for items in orders]
        repeated = {name: values and [value for value in values for _ in range(runs)] for name, values in more.items()}
        answers = iter(judge(again, **repeated))
        return [agreed(orders, [next(answers) for _ in orders], aggregate) for orders in shown]

    return judged


def shuffles(items: Shown, runs: int, seed: int) -> list[Shown]:
    """The items as they are and `runs` - 1 times shuffled; the same for the same items and seed."""
    rng = random.Random(f"{seed} {items}")
    return [items, *(tuple(rng.sample(items, len(items))) for _ in range(runs - 1))]


def agreed(shown: Sequence[Shown], answers: Sequence[Places], aggregate: Aggregate) -> Places:
    """Places in the first of `shown`, all of them and best first, from answers about each of them; none if all are empty."""
    positions = {item: place for place, item in enumerate(shown[0])}
    orders = []
    for items, places in zip(shown, answers, strict=True):
        listed = [positions[items[place]] for place in places]
        if listed:  # what a reply left out follows in the first order, not in that of its shuffle
            orders.append(listed + [place for place in range(len(items)) if place not in listed])
    return tuple(aggregate(orders)) if orders else ()


def borda(orders: Sequence[Order]) -> list[int]:
    """Items 0 to n - 1 by the sum of their ranks in all orders; equal sums by number."""
    sums = [0] * len(orders[0])
    for order in orders:
        for rank, item in enumerate(order):
            sums[item] += rank
    return sorted(range(len(sums)), key=lambda item: sums[item])


def kemeny(orders: Sequence[Order]) -> list[int]:
    """Borda's order, with neighbours changed while most orders want it (local Kemenisation: Dwork et al., WWW 2001).

    No change of neighbours lowers the Kendall distance to all orders any more, and an item that most orders prefer to
    every other comes first. The very least distance is not sought: that is NP-hard.
    """
    ranks = [{item: rank for rank, item in enumerate(order)} for order in orders]
    settled: list[int] = []
    for item in borda(orders):
        position = len(settled)
        while position > 0 and 2 * sum(rank[item] < rank[settled[position - 1]] for rank in ranks) > len(ranks):
            position -= 1
        settled.insert(position, item)
    return settled
