"""Permutation self-consistency: one listwise question asked with its passages shuffled, and the answers aggregated."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Literal

from rag.protocols import LLM
from rag.ranking import require_k
from rag.types import Ranking
from rerankers.arguments import require_positive, require_windows
from rerankers.asking import Ask, Places, Shown
from rerankers.numbers import NumberJudge, Template
from rerankers.reordering import reordered
from rerankers.sliding import Reorder, slid

Order = Sequence[int]
Aggregate = Callable[[Sequence[Order]], list[int]]


class SelfConsistencyReranker:
    """Permutation self-consistency over rerank.listwise (Tang et al., NAACL 2024, arXiv 2310.07712).

    Each window is asked about `runs` times in one batch: as it is, and shuffled. What follows from where a passage
    stood in the prompt cancels out in the aggregate of the orders. It costs `runs` times what listwise costs. Replies
    that name no passage are left out of the aggregate.

    Args:
        llm: the model that orders.
        runs: how often each window is asked about.
        aggregate: borda sums ranks. kemeny goes on from there: neighbours change places while most orders want it,
            which finds an order near the one that disagrees least with all.
        seed: of the shuffles.
        window: passages per prompt.
        stride: passages by which the window moves; below `window`.
        max_words: words of a passage, title included, that are shown; fewer where a prompt would not fit.
        template: rankgpt or lrl, as in rerank.listwise.
        prompt: name or path of a prompt with the variables passages, query and n. None: the template's own.
        depth: how many of a ranking's first hits are reranked; the others follow in their order. None: all.
    """

    def __init__(
        self,
        *,
        llm: LLM,
        runs: int = 5,
        aggregate: Literal["kemeny", "borda"] = "kemeny",
        seed: int = 0,
        window: int = 20,
        stride: int = 10,
        max_words: int = 300,
        template: Template = "rankgpt",
        prompt: str | None = None,
        depth: int | None = None,
    ) -> None:
        if aggregate not in ("kemeny", "borda"):
            raise ValueError(f"rerank.self_consistency: aggregate must be kemeny or borda, got {aggregate!r}")
        require_windows("rerank.self_consistency", window=window, stride=stride)
        require_positive("rerank.self_consistency", runs=runs, depth=depth)
        self.window, self.stride, self.depth = window, stride, depth
        self._reorder = consistent(runs, seed, kemeny if aggregate == "kemeny" else borda)
        self._judge = NumberJudge(
            llm=llm, template=template, prompt=prompt, max_words=max_words, by="rerank.self_consistency"
        )

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        """Each ranking's documents in the aggregated order, at most `k`, with scores of 1 / rank."""
        require_k(k, by="rerank.self_consistency")
        return reordered(
            rankings,
            lambda n: slid(n, window=self.window, stride=self.stride, reorder=self._reorder),
            self._judge,
            k=k,
            depth=self.depth,
            by="rerank.self_consistency",
        )


def consistent(runs: int, seed: int, aggregate: Aggregate) -> Reorder:
    """The aggregate of the orders that a window gets as it is and `runs` - 1 times shuffled."""

    def reorder(items: Shown) -> Ask[Shown, Places, list[int]]:
        rng = random.Random(f"{seed} {items}")
        shown = [items, *(tuple(rng.sample(items, len(items))) for _ in range(runs - 1))]
        answers = yield shown
        at = {item: place for place, item in enumerate(items)}
        orders = []
        for one, places in zip(shown, answers, strict=True):
            listed = [at[one[place]] for place in places]
            if listed:  # what a reply left out follows in the window's own order, not in that of its shuffle
                orders.append(listed + [place for place in range(len(items)) if place not in listed])
        return [items[place] for place in aggregate(orders)] if orders else list(items)

    return reorder


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
        at = len(settled)
        while at > 0 and 2 * sum(rank[item] < rank[settled[at - 1]] for rank in ranks) > len(ranks):
            at -= 1
        settled.insert(at, item)
    return settled
