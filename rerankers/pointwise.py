"""One prompt per document: all documents of all rankings are weighed in one batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter

from rag.core.completions import cached_tokens
from rag.core.protocols import LLM
from rag.core.ranking import require_k
from rag.core.types import Document, Message, Prompt, Ranking, Usage
from rerankers.passages import fitted, passage_text
from rerankers.work import Work, warn


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """A document's score, the tokens that were read after its prompt to find it, and whether its query had been cut."""

    score: float
    tokens: int = 0
    query_cut: bool = False


Render = Callable[[str, str], Prompt]
"""Query text and passage -> prompt."""

Weigh = Callable[[list[Prompt], list[str]], Sequence[Weight]]
"""Prompts and the query texts behind them -> a weight each."""


def pointwise(
    rankings: Sequence[Ranking],
    *,
    llm: LLM,
    render: Render,
    weigh: Weigh,
    k: int,
    depth: int | None,
    max_words: int,
    rooms: Sequence[int],
    by: str,
) -> list[Ranking]:
    """Each ranking's documents by weight, at most `k`.

    Args:
        max_words: words per passage, fewer where a prompt would not fit.
        rooms: for each ranking, tokens that `weigh` needs after a prompt.
    """
    require_k(k, by=by)
    works = [Work.of(ranking, depth) for ranking in rankings]
    pairs = [(work, document) for work in works for document in work.documents]
    free = [room for work, room in zip(works, rooms, strict=True) for _ in work.documents]
    weights = _weighed(pairs, llm, render, weigh, max_words, free) if pairs else []
    scores: dict[Work, list[float]] = {work: [] for work in works}
    for (work, _), weight in zip(pairs, weights, strict=True):
        scores[work].append(weight.score)
    reranked = [work.by_score(scores[work], k=k) for work in works]
    warn(works, by=by)
    return reranked


def _weighed(
    pairs: Sequence[tuple[Work, Document]],
    llm: LLM,
    render: Render,
    weigh: Weigh,
    max_words: int,
    rooms: Sequence[int],
) -> Sequence[Weight]:
    started = perf_counter()
    prompts = fitted(llm, [partial(_shown, render, *pair) for pair in pairs], words=max_words, rooms=rooms)
    weights = weigh([one.prompt for one in prompts], [work.ranking.query.text for work, _ in pairs])
    cached = cached_tokens(llm, len(prompts))
    seconds = (perf_counter() - started) / len(prompts)
    for (work, _), one, weight, spared in zip(pairs, prompts, weights, cached, strict=True):
        work.note("ok", shortened=int(one.shortened), query_cut=int(weight.query_cut))
        tokens = one.tokens + weight.tokens
        work.usage += Usage(calls=1, prompt_tokens=tokens, cached_tokens=spared, seconds=seconds)
    return weights


def _shown(render: Render, work: Work, document: Document, words: int) -> Prompt:
    return render(work.ranking.query.text, passage_text(document, words))


def tokens_of(llm: LLM, texts: Sequence[str]) -> list[int]:
    """Tokens of each of `texts` where it goes on with a line, as an answer does that the prompt has begun."""
    begun = "Answer:"  # a text on its own would lose the blank before it to a chat template that trims
    turns = [[Message(role="user", content=begun + text)] for text in ("", *texts)]
    empty, *full = llm.count_tokens(turns)
    return [max(1, tokens - empty) for tokens in full]


def room_for(llm: LLM, words: Sequence[str]) -> int:
    """Tokens that an answer of any of `words` may take, and one to spare."""
    return max(tokens_of(llm, [f" {word}" for word in words])) + 1
