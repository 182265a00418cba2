"""Pointwise prompt reranking: how relevant is this passage, on a scale?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

import prompts
from rag.core.arguments import require_one_of, require_positive
from rag.core.powers import require_choosing
from rag.core.protocols import ChoosingLLM
from rag.core.types import Prompt, Ranking
from rerankers.letters import in_place
from rerankers.pointwise import Weight, pointwise, room_for, tokens_of

Scale = Literal["rg-2l", "rg-3l", "rg-4l", "rg-s"]

LABELS: dict[str, tuple[str, ...]] = {
    "rg-2l": ("Relevant", "Not Relevant"),
    "rg-3l": ("Highly Relevant", "Somewhat Relevant", "Not Relevant"),
    "rg-4l": ("Perfectly Relevant", "Highly Relevant", "Somewhat Relevant", "Not Relevant"),
    "rg-s": ("4", "3", "2", "1", "0"),
}
"""From the most relevant down; the last one's gain is 0 and each above gains one more."""


class GradedReranker:
    """Fine-grained relevance labels (Zhuang et al., NAACL 2024, arXiv 2310.14122); n calls, one batch.

    The likelihood of every label of the scale is read after the prompt; nothing is written. Labels in words have unlike
    numbers of tokens, so theirs is the likelihood per token (the mean of the tokens' log-probabilities): summed, the
    shortest label would gain from its length alone. The numbers of rg-s are taken whole.
    expected: the mean gain of the labels under the likelihoods, made to sum to 1. peak: the log-likelihood of the
    highest label.

    Args:
        llm: the model that judges; it must be able to choose from a closed list.
        scale: two, three or four labels in words, or rg-s: numbers from 0 to 4.
        score: expected or peak.
        max_words: words of a passage, title included, that are shown; fewer where a prompt would not fit.
        prompt: name or path of a prompt with the variables passage, query and labels.
        depth: how many of a ranking's first hits are reranked; the others follow with falling scores. None: all.
    """

    def __init__(
        self,
        *,
        llm: ChoosingLLM,
        scale: Scale = "rg-4l",
        score: Literal["expected", "peak"] = "expected",
        max_words: int = 300,
        prompt: str = "rank_graded",
        depth: int | None = None,
    ) -> None:
        require_one_of("rerank.graded", get_args(Scale), scale=scale)
        if score not in ("expected", "peak"):
            raise ValueError(f"rerank.graded: score must be expected or peak, got {score!r}")
        require_positive("rerank.graded", max_words=max_words, depth=depth)
        self.llm = require_choosing(llm, by="rerank.graded")
        self.score, self.max_words, self.depth = score, max_words, depth
        self.labels, self._per_token = LABELS[scale], scale != "rg-s"
        self.prompt = prompts.load(prompt)
        self.prompt.require("passage", "query", "labels", by="rerank.graded")

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        """Documents by grade, at most `k`, best first. Expected grades go from 0 to the number of labels less 1."""
        return pointwise(
            rankings,
            llm=self.llm,
            render=self._render,
            weigh=self._weigh,
            k=k,
            depth=self.depth,
            max_words=self.max_words,
            rooms=[room_for(self.llm, self.labels)] * len(rankings) if rankings else [],
            by="rerank.graded",
        )

    def _render(self, query: str, passage: str) -> Prompt:
        return self.prompt.render(query=query, passage=passage, labels=", ".join(self.labels))

    def _weigh(self, requests: list[Prompt], queries: list[str]) -> list[Weight]:
        labels = in_place(requests, self.labels)
        table = self.llm.choose(requests, labels).astype(np.float64)
        if self._per_token:
            table /= tokens_of(self.llm, labels)
        scores = table[:, 0] if self.score == "peak" else expected_gain(table)
        return [Weight(score=float(score)) for score in scores]


def expected_gain(logprobs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean gain, float64 [n], from log-likelihoods [n, labels] in the order of the scale."""
    shares = np.exp(logprobs - logprobs.max(axis=1, keepdims=True))
    gains = np.arange(logprobs.shape[1])[::-1]
    mean: NDArray[np.float64] = (shares * gains).sum(axis=1) / shares.sum(axis=1)
    return mean
