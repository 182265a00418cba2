"""Listwise prompt reranking by the first token: one look at the letters orders a window."""

from __future__ import annotations

from collections.abc import Sequence

import prompts
from rag.core.arguments import require_positive
from rag.core.powers import require_choosing
from rag.core.protocols import ChoosingLLM
from rag.core.ranking import require_k
from rag.core.types import Ranking
from rerankers.arguments import require_windows
from rerankers.labels import LABELS
from rerankers.letters import LetterJudge, choosing
from rerankers.reordering import reordered
from rerankers.sliding import slid


class FirstTokenReranker:
    """FIRST: single-token decoding (Reddy et al., EMNLP 2024, arXiv 2406.15657), here with models not trained for it.

    Windows slide as in rerank.listwise. A window is ordered by the likelihood of each passage's letter at the first
    place of the answer: one forward pass per window, nothing is written. The paper trains a model for this; others
    tell the best passage better than the order of the rest.

    Args:
        llm: the model that orders; it must be able to choose from a closed list.
        window: passages per prompt, 26 at most.
        stride: passages by which the window moves; below `window`.
        max_words: words of a passage, title included, that are shown; fewer where a prompt would not fit.
        prompt: name or path of a prompt with the variables passages and query.
        depth: how many of a ranking's first hits are reranked; the others follow in their order. None: all.
    """

    def __init__(
        self,
        *,
        llm: ChoosingLLM,
        window: int = 20,
        stride: int = 10,
        max_words: int = 300,
        prompt: str = "rank_first",
        depth: int | None = None,
    ) -> None:
        require_windows("rerank.first", window=window, stride=stride, most=len(LABELS))
        require_positive("rerank.first", depth=depth)
        self.window, self.stride, self.depth = window, stride, depth
        template = prompts.load(prompt)
        template.require("passages", "query", by="rerank.first")
        llm = require_choosing(llm, by="rerank.first")
        self.judge = LetterJudge(llm=llm, prompt=template, scoring="likelihood", max_words=max_words, by="rerank.first")
        self.needs = choosing("likelihood")

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        """Each ranking's documents in order, at most `k`, with scores of 1 / rank."""
        require_k(k, by="rerank.first")
        return reordered(
            rankings,
            lambda n: slid(n, window=self.window, stride=self.stride),
            self.judge,
            k=k,
            depth=self.depth,
            by="rerank.first",
        )
