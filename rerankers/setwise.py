"""Setwise prompt reranking: which of a few passages is best, inside a sorting algorithm."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Literal, get_args

import prompts
from rag.core.arguments import require_one_of, require_positive
from rag.core.in_step import Shown
from rag.core.protocols import LLM
from rag.core.ranking import require_k
from rag.core.types import Ranking
from rerankers.labels import LABELS
from rerankers.letters import LetterJudge, Scoring, choosing
from rerankers.reordering import reordered
from rerankers.sorts import Best, Contest, Order, at_a_glance, bubblesort, heapsort, insertion

Method = Literal["heapsort", "bubblesort", "insertion"]


class SetwiseReranker:
    """Setwise reranking (Zhuang et al., SIGIR 2024, arXiv 2310.09497): the best of a few passages by one prompt.

    A sort puts the `top` best in order; the others follow in first-stage order. heapsort: a node of the heap against
    its `children`. bubblesort: windows of `children` + 1 from the tail to the head, `top` times. insertion (after
    Podolak et al., SIGIR 2025, arXiv 2504.10509): the top so far is kept sorted, and its last is asked against the next
    few. Where an answer names no passage, the first shown wins. heapsort shows passages in first-stage order, so that is
    the best of the first stage, where the paper lets the parent stay. No comparison is paid twice. The paper cuts a
    passage at 128 tokens, for which `max_words` stands in, and a query at 32; here it is shown whole.

    Args:
        llm: the model that compares.
        method: the sort. heapsort, bubblesort or insertion.
        children: passages against which one stands in a prompt.
        top: how many documents are put in order, or the number asked for if that is less.
        scoring: likelihood weighs the letters and writes nothing, and needs a model that can choose; generation writes.
        votes: how often each set is asked about, with its passages in another order each time; the majority wins.
        seed: of those orders.
        max_words: words of a passage, title included, that are shown; fewer where a prompt would not fit.
        prompt: name or path of a prompt with the variables passages and query.
        depth: how many of a ranking's first hits are reranked; the others follow in their order. None: all.
    """

    def __init__(
        self,
        *,
        llm: LLM,
        method: Method = "heapsort",
        children: int = 3,
        top: int = 10,
        scoring: Scoring = "likelihood",
        votes: int = 1,
        seed: int = 0,
        max_words: int = 100,
        prompt: str = "rank_setwise",
        depth: int | None = None,
    ) -> None:
        require_one_of("rerank.setwise", get_args(Method), method=method)
        if not 1 <= children < len(LABELS):
            raise ValueError(f"rerank.setwise: children must be from 1 to {len(LABELS) - 1}, got {children}")
        require_positive("rerank.setwise", top=top, votes=votes, depth=depth)
        self.method, self.children, self.top, self.depth = method, children, top, depth
        template = prompts.load(prompt)
        template.require("passages", "query", by="rerank.setwise")
        self.judge = LetterJudge(llm=llm, prompt=template, scoring=scoring, max_words=max_words, by="rerank.setwise")
        self.needs = choosing(scoring)
        self._best: Best = at_a_glance if votes == 1 else voted(votes, seed)

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        """The `top` best in order, then the rest in first-stage order; at most `k`, with scores of 1 / rank."""
        require_k(k, by="rerank.setwise")
        return reordered(
            rankings,
            lambda n: self._sort(n, min(self.top, k)),
            self.judge,
            k=k,
            depth=self.depth,
            by="rerank.setwise",
            remember=True,
        )

    def _sort(self, n: int, top: int) -> Order:
        if self.method == "heapsort":
            return heapsort(n, top=top, children=self.children, best=self._best)
        sort = bubblesort if self.method == "bubblesort" else insertion
        return sort(n, top=top, window=self.children + 1, best=self._best)


def voted(votes: int, seed: int) -> Best:
    """The majority of `votes` questions about the same items in different orders; ties go to the first item."""

    def best(items: Shown) -> Contest:
        rng = random.Random(f"{seed} {items}")
        orders = [items, *(tuple(rng.sample(items, len(items))) for _ in range(votes - 1))]
        answers = yield orders
        won = Counter(order[places[0]] for order, places in zip(orders, answers, strict=True) if places)
        return max(items, key=lambda item: won[item])  # the first of equals

    return best
