"""Pointwise prompt reranking: does this passage answer the query, yes or no?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import prompts
from rag.core.arguments import require_positive
from rag.core.powers import require_choosing
from rag.core.protocols import ChoosingLLM
from rag.core.types import Prompt, Ranking
from rerankers.letters import in_place
from rerankers.pointwise import Weight, pointwise, room_for

_YES, _NO = ("Yes", "yes", "YES"), ("No", "no", "NO")


class YesNoReranker:
    """Relevance generation (Liang et al., 2022, arXiv 2211.09110; monoT5's scheme without training, 2003.06713).

    score(d) = p(yes) / (p(yes) + p(no)) where the answer begins, summed over spellings; n calls, one batch. The score
    is between 0 and 1, but says little about the share of relevant documents: models are not calibrated for it.

    Args:
        llm: the model that judges; it must be able to choose from a closed list.
        max_words: words of a passage, title included, that are shown; fewer where a prompt would not fit.
        prompt: name or path of a prompt with the variables passage and query.
        depth: how many of a ranking's first hits are reranked; the others follow with falling scores. None: all.
    """

    def __init__(
        self, *, llm: ChoosingLLM, max_words: int = 300, prompt: str = "rank_yes_no", depth: int | None = None
    ) -> None:
        require_positive("rerank.yes_no", max_words=max_words, depth=depth)
        self.llm = require_choosing(llm, by="rerank.yes_no")
        self.max_words, self.depth = max_words, depth
        self.prompt = prompts.load(prompt)
        self.prompt.require("passage", "query", by="rerank.yes_no")

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        """Documents by the weight of yes, at most `k`, best first."""
        return pointwise(
            rankings,
            llm=self.llm,
            render=lambda query, passage: self.prompt.render(query=query, passage=passage),
            weigh=self._weigh,
            k=k,
            depth=self.depth,
            max_words=self.max_words,
            rooms=[room_for(self.llm, _YES + _NO)] * len(rankings) if rankings else [],
            by="rerank.yes_no",
        )

    def _weigh(self, requests: list[Prompt], queries: list[str]) -> list[Weight]:
        table = self.llm.choose(requests, in_place(requests, _YES + _NO)).astype(np.float64)
        with np.errstate(invalid="ignore"):  # a model that broke down shows in the scores
            yes = np.logaddexp.reduce(table[:, : len(_YES)], axis=1)
            no = np.logaddexp.reduce(table[:, len(_YES) :], axis=1)
            scores = np.exp(yes - np.logaddexp(yes, no))
        return [Weight(score=float(score)) for score in scores]
