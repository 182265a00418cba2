"""Pointwise reranking by how likely the query is after the passage."""

from __future__ import annotations

from collections.abc import Sequence

import prompts
from rag.protocols import ScoringLLM
from rag.types import Prompt, Ranking
from rerankers.arguments import require_positive
from rerankers.letters import in_place
from rerankers.pointwise import Weight, pointwise, tokens_of


class QueryLikelihoodReranker:
    """Query likelihood, UPR (Sachan et al., EMNLP 2022, arXiv 2204.07496); n calls, one batch.

    score(d) = mean over the query's tokens of log p(token | prompt with d, tokens before). Any language model can do it:
    no instruction needs to be followed. A query without tokens keeps the order, outcome `fallback`.

    Args:
        llm: the model whose likelihoods are read; it must be able to score given texts.
        max_words: words of a passage, title included, that are shown; fewer where a prompt would not fit.
        prompt: name or path of a prompt with the variable passage.
        depth: how many of a ranking's first hits are reranked; the others follow with falling scores. None: all.
    """

    def __init__(
        self, *, llm: ScoringLLM, max_words: int = 300, prompt: str = "rank_query_likelihood", depth: int | None = None
    ) -> None:
        require_positive("rerank.query_likelihood", max_words=max_words, depth=depth)
        self.llm, self.max_words, self.depth = llm, max_words, depth
        self.prompt = prompts.load(prompt)
        self.prompt.require("passage", by="rerank.query_likelihood")

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        """Documents by the mean log-probability of the query's tokens, at most `k`, best first."""
        return pointwise(
            rankings,
            llm=self.llm,
            render=lambda query, passage: self.prompt.render(passage=passage),
            weigh=self._weigh,
            k=k,
            depth=self.depth,
            max_words=self.max_words,
            room=tokens_of(self.llm, [ranking.query.text for ranking in rankings]) if rankings else 0,
            by="rerank.query_likelihood",
        )

    def _weigh(self, asked: list[Prompt], queries: list[str]) -> list[Weight]:
        # A query of blanks alone has nothing to score, and no blank may be put before it.
        begun = in_place(asked, queries)
        texts = [text if query.strip() else "" for text, query in zip(begun, queries, strict=True)]
        return [
            Weight(score=sum(tokens) / len(tokens) if tokens else float("nan"), tokens=len(tokens))
            for tokens in self.llm.score(asked, texts)
        ]
