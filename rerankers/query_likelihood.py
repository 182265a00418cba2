"""Pointwise reranking by how likely the query is after the passage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import prompts
from rag.core.arguments import require_positive
from rag.core.powers import require_scoring
from rag.core.protocols import LLM, ScoringLLM
from rag.core.types import Prompt, Ranking
from rerankers.letters import in_place
from rerankers.pointwise import Weight, pointwise, tokens_of


class QueryLikelihoodReranker:
    """Query likelihood, UPR (Sachan et al., EMNLP 2022, arXiv 2204.07496); n calls, one batch.

    score(d) = mean over the query's tokens of log p(token | prompt with d, tokens before). Any language model can do it:
    no instruction needs to be followed. A query without tokens keeps the order, outcome `fallback`. Of a longer query
    than `max_query_tokens`, or than half the model's window, the beginning is scored; `query_cut` counts the calls.

    Args:
        llm: the model whose likelihoods are read; it must be able to score given texts.
        max_words: words of a passage, title included, that are shown; fewer where a prompt would not fit.
        max_query_tokens: tokens of a query that are scored.
        prompt: name or path of a prompt with the variable passage.
        depth: how many of a ranking's first hits are reranked; the others follow with falling scores. None: all.
    """

    def __init__(
        self,
        *,
        llm: ScoringLLM,
        max_words: int = 300,
        max_query_tokens: int = 128,
        prompt: str = "rank_query_likelihood",
        depth: int | None = None,
    ) -> None:
        require_positive("rerank.query_likelihood", max_words=max_words, max_query_tokens=max_query_tokens, depth=depth)
        self.llm = require_scoring(llm, by="rerank.query_likelihood")
        self.max_words, self.max_query_tokens, self.depth = max_words, max_query_tokens, depth
        self.prompt = prompts.load(prompt)
        self.prompt.require("passage", by="rerank.query_likelihood")

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        """Documents by the mean log-probability of the query's tokens, at most `k`, best first."""
        scored = self._beginnings([ranking.query.text for ranking in rankings]) if rankings else {}
        texts = [scored[ranking.query.text] for ranking in rankings]
        return pointwise(
            rankings,
            llm=self.llm,
            render=lambda query, passage: self.prompt.render(passage=passage),
            weigh=partial(self._weigh, scored),
            k=k,
            depth=self.depth,
            max_words=self.max_words,
            rooms=[tokens + 1 for tokens in tokens_of(self.llm, [f" {text}" for text in texts])] if texts else [],
            by="rerank.query_likelihood",
        )

    def _beginnings(self, queries: Sequence[str]) -> dict[str, str]:
        """Each query text -> what of it is scored."""
        most = min(self.max_query_tokens, max(1, self.llm.context_window // 2))
        sizes = tokens_of(self.llm, [f" {query}" for query in queries])
        return {
            query: query if size <= most else beginning(self.llm, query, most)
            for query, size in zip(queries, sizes, strict=True)
        }

    def _weigh(self, scored: Mapping[str, str], requests: list[Prompt], queries: list[str]) -> list[Weight]:
        # A query of blanks alone has nothing to score, and no blank may be put before it.
        begun = in_place(requests, [scored[query] for query in queries])
        texts = [text if query.strip() else "" for text, query in zip(begun, queries, strict=True)]
        return [
            Weight(
                score=sum(tokens) / len(tokens) if tokens else float("nan"),
                tokens=len(tokens),
                query_cut=scored[query] != query,
            )
            for tokens, query in zip(self.llm.score(requests, texts), queries, strict=True)
        ]


def beginning(llm: LLM, text: str, most: int) -> str:
    """A beginning of `text` with at most `most` tokens: whole words, or a part of the first if that alone is longer."""
    fits, over = 0, len(text)  # in characters
    while over - fits > 1:
        middle = (fits + over) // 2
        [tokens] = tokens_of(llm, [f" {text[:middle]}"])
        fits, over = (middle, over) if tokens <= most else (fits, middle)
    words = text[:fits].split()
    broken = words[-1] if len(words) > 1 and not text[fits].isspace() else ""
    return text[:fits].removesuffix(broken).rstrip() or text[:1]
