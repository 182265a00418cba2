"""One prompt per document: all documents of all rankings are weighed in one batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter

from rag.protocols import LLM
from rag.ranking import require_k
from rag.types import Document, Message, Prompt, Ranking, Usage
from rerankers.passages import first_words, fitted
from rerankers.powers import cached_tokens
from rerankers.work import Work, warn


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """A document's score, and the tokens that were read after its prompt to find it."""

    score: float
    tokens: int = 0


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
    room: int,
    by: str,
) -> list[Ranking]:
    """Each ranking's documents by weight, at most `k`.

    Args:
        max_words: words per passage, fewer where a prompt would not fit.
        room: tokens that `weigh` needs after a prompt.
    """
    require_k(k, by=by)
    works = [Work.of(ranking, depth) for ranking in rankings]
    pairs = [(work, document) for work in works for document in work.documents]
    weights = _weighed(pairs, llm, render, weigh, max_words, room) if pairs else []
    scores: dict[Work, list[float]] = {work: [] for work in works}
    for (work, _), weight in zip(pairs, weights, strict=True):
        scores[work].append(weight.score)
    reranked = [work.by_score(scores[work], k=k) for work in works]
    warn(works, by=by)
    return reranked


def _weighed(
    pairs: Sequence[tuple[Work, Document]], llm: LLM, render: Render, weigh: Weigh, max_words: int, room: int
) -> Sequence[Weight]:
    started = perf_counter()
    prompts = fitted(llm, [partial(_shown, render, *pair) for pair in pairs], words=max_words, room=room)
    weights = weigh([one.prompt for one in prompts], [work.ranking.query.text for work, _ in pairs])
    cached = cached_tokens(llm, len(prompts))
    seconds = (perf_counter() - started) / len(prompts)
    for (work, _), one, weight, spared in zip(pairs, prompts, weights, cached, strict=True):
        work.note("ok", shortened=int(one.shortened))
        tokens = one.tokens + weight.tokens
        work.usage += Usage(calls=1, prompt_tokens=tokens, cached_tokens=spared, seconds=seconds)
    return weights


def _shown(render: Render, work: Work, document: Document, words: int) -> Prompt:
    return render(work.ranking.query.text, first_words(document, words))


def tokens_of(llm: LLM, texts: Sequence[str]) -> int:
    """Tokens of the longest of `texts`, which is what an answer to any of them may take."""
    turns = [[Message(role="user", content=text)] for text in ("", *texts)]
    empty, *full = llm.count_tokens(turns)
    return max(full, default=empty) - empty + 1
