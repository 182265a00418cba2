"""Listwise prompt reranking: a model orders windows of numbered passages."""

from __future__ import annotations

from collections.abc import Sequence

from rag.core.arguments import require_positive
from rag.core.protocols import LLM
from rag.core.ranking import require_k
from rag.core.types import Ranking
from rerankers.arguments import require_windows
from rerankers.numbers import NumberJudge, Template
from rerankers.reordering import reordered
from rerankers.sliding import slid


class ListwiseReranker:
    """Listwise reranking by permutation with sliding windows (RankGPT: Sun et al., EMNLP 2023, arXiv 2304.09542).

    Windows slide from the last hit to the first, so that good passages move up; numbering starts at 1 in each. The
    model writes the numbers of a window in order of relevance. Whatever it writes, the result is a permutation:
    `rerankers.permutation` mends it and the outcome counts how. A reply that names no passage leaves its window
    as it was. Every step sends one window of every query in one batch. The paper shows each passage in a turn of its
    own, which the assistant acknowledges; here all passages stand in one turn, as RankVicuna and RankZephyr have it.

    Args:
        llm: the model that orders.
        window: passages per prompt.
        stride: passages by which the window moves; below `window`, or nothing could move up past a window.
        max_words: words of a passage, title included, that are shown; fewer where a prompt would not fit.
        passes: how often the windows slide over the list.
        template: rankgpt numbers passages [1], [2]; lrl (Ma et al., 2023, arXiv 2305.02156) PASSAGE1, PASSAGE2.
        prompt: name or path of a prompt with the variables passages, query and n. None: the template's own.
        depth: how many of a ranking's first hits are reranked; the others follow in their order. None: all.
    """

    def __init__(
        self,
        *,
        llm: LLM,
        window: int = 20,
        stride: int = 10,
        max_words: int = 300,
        passes: int = 1,
        template: Template = "rankgpt",
        prompt: str | None = None,
        depth: int | None = None,
    ) -> None:
        require_windows("rerank.listwise", window=window, stride=stride)
        require_positive("rerank.listwise", passes=passes, depth=depth)
        self.window, self.stride, self.passes, self.depth = window, stride, passes, depth
        self.judge = NumberJudge(llm=llm, template=template, prompt=prompt, max_words=max_words, by="rerank.listwise")

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        """Each ranking's documents in the model's order, at most `k`, with scores of 1 / rank.

        The outcome is the worst of a ranking's windows; its counts are calls, ok, repaired, fallback, unknown,
        repeated, missing, and where they occur `cut_off` (replies at their limit) and `shortened` (prompts
        whose passages had to be cut further).
        """
        require_k(k, by="rerank.listwise")
        return reordered(
            rankings,
            lambda n: slid(n, window=self.window, stride=self.stride, passes=self.passes),
            self.judge,
            k=k,
            depth=self.depth,
            by="rerank.listwise",
        )
