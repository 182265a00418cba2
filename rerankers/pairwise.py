"""Pairwise prompt reranking: which of two passages is better, asked in both orders."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Literal, get_args

import prompts
from rag.core.arguments import require_one_of, require_positive
from rag.core.in_step import Shown
from rag.core.protocols import LLM
from rag.core.ranking import require_k
from rag.core.types import Ranking
from rerankers.letters import LetterJudge, Scoring, choosing
from rerankers.reordering import reordered
from rerankers.sorts import Order, bubblesort, heapsort, in_both_orders

Method = Literal["all_pair", "heapsort", "sliding"]


class PairwiseReranker:
    """Pairwise ranking prompting, PRP (Qin et al., Findings of NAACL 2024, arXiv 2306.17563).

    Two passages are compared in both orders. If both answers point at the same one it wins; otherwise it is a tie.
    all_pair: every passage against every other, n(n - 1) calls; a win counts 1 and a tie one half. heapsort: about
    n log n calls for a whole list. sliding: `top` bubble passes from the tail to the head, which swap on a clear win
    alone. Ties go by first-stage order. No comparison is paid twice.

    Args:
        llm: the model that compares.
        method: all_pair, heapsort or sliding.
        top: how many documents heapsort and sliding put in order, or the number asked for if that is less.
        scoring: likelihood weighs the letters and writes nothing, and needs a model that can choose; generation writes.
        max_words: words of a passage, title included, that are shown; fewer where a prompt would not fit.
        prompt: name or path of a prompt with the variables passages and query.
        depth: how many of a ranking's first hits are reranked; the others follow in their order. None: all.
    """

    def __init__(
        self,
        *,
        llm: LLM,
        method: Method = "sliding",
        top: int = 10,
        scoring: Scoring = "likelihood",
        max_words: int = 300,
        prompt: str = "rank_pairwise",
        depth: int | None = None,
    ) -> None:
        require_one_of("rerank.pairwise", get_args(Method), method=method)
        require_positive("rerank.pairwise", top=top, depth=depth)
        self.method, self.top, self.depth = method, top, depth
        template = prompts.load(prompt)
        template.require("passages", "query", by="rerank.pairwise")
        self.judge = LetterJudge(llm=llm, prompt=template, scoring=scoring, max_words=max_words, by="rerank.pairwise")
        self.needs = choosing(scoring)

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        """The documents in order, at most `k`, with scores of 1 / rank."""
        require_k(k, by="rerank.pairwise")
        return reordered(
            rankings,
            lambda n: self._sort(n, min(self.top, k)),
            self.judge,
            k=k,
            depth=self.depth,
            by="rerank.pairwise",
            remember=True,
        )

    def _sort(self, n: int, top: int) -> Order:
        if self.method == "all_pair":
            return all_pair(n)
        if self.method == "heapsort":
            return heapsort(n, top=top, children=2, best=in_both_orders)
        return bubblesort(n, top=top, window=2, best=in_both_orders)


def all_pair(n: int) -> Order:
    """Items by wins over all others and half of the ties, equal ones in first-stage order; one step of n(n - 1)."""
    pairs: list[Shown] = list(permutations(range(n), 2))
    if not pairs:
        return list(range(n))
    answers = yield pairs
    first_wins = {pair: places[:1] == (0,) for pair, places in zip(pairs, answers, strict=True) if places}
    points = [0.0] * n
    for one, other in pairs:
        if one < other:
            first, second = first_wins.get((one, other)), first_wins.get((other, one))
            won = 0.5 if first is None or second is None or first == second else float(first)
            points[one] += won
            points[other] += 1 - won
    return sorted(range(n), key=lambda item: -points[item])
