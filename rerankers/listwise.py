"""Listwise prompt reranking: a model orders windows of numbered passages."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter

import prompts
from rag.completions import usage_of
from rag.protocols import LLM
from rag.ranking import in_this_order, require_k
from rag.types import OK, Completion, Document, Message, Outcome, Prompt, Ranking, SamplingParams, Usage
from rerankers.permutation import parse_permutation

logger = logging.getLogger(__name__)

_SPARE = 8  # tokens a reply may be longer than the bare permutation: a space here, an end of turn there


class ListwiseReranker:
    """Listwise reranking by permutation with sliding windows (RankGPT: Sun et al., EMNLP 2023, arXiv 2304.09542).

    Windows slide from the last hit to the first, so that good passages move up; numbering starts at 1 in each. The
    model writes the numbers of a window in order of relevance. Whatever it writes, the result is a permutation:
    `rerankers.permutation` mends it and the outcome counts how. A reply that names no passage leaves its window
    as it was. Every step sends one window of every query in one batch.

    Args:
        llm: the model that orders.
        window: passages per prompt.
        stride: passages by which the window moves; below `window`, or nothing could move up past a window.
        max_words: words of a passage, title included, that are shown; fewer where a prompt would not fit.
        passes: how often the windows slide over the list.
        prompt: name or path of a prompt with the variables passages, query and n.
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
        prompt: str = "rank_listwise",
        depth: int | None = None,
    ) -> None:
        if window < 2:
            raise ValueError(f"rerank.listwise: window must be at least 2, got {window}")
        if not 1 <= stride < window:
            raise ValueError(
                f"rerank.listwise: stride must be at least 1 and below window ({window}), got {stride}: "
                "windows that do not overlap cannot carry a passage upward"
            )
        for name, value in (("max_words", max_words), ("passes", passes), ("depth", depth)):
            if value is not None and value < 1:
                raise ValueError(f"rerank.listwise: {name} must be at least 1, got {value}")
        self.llm, self.window, self.stride, self.depth = llm, window, stride, depth
        self.max_words, self.passes = max_words, passes
        self.prompt = prompts.load(prompt)
        self.prompt.require("passages", "query", "n", by="rerank.listwise")

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        """Each ranking's documents in the model's order, at most `k`, with scores of 1 / rank.

        The outcome is the worst of a ranking's windows; its counts are calls, ok, repaired, fallback, unknown,
        repeated, missing, and where they occur `cut_off` (replies at their limit) and `shortened` (prompts
        whose passages had to be cut further).
        """
        require_k(k, by="rerank.listwise")
        works = [_Work.of(ranking, self.depth) for ranking in rankings]
        steps = [windows(len(work.order), self.window, self.stride) * self.passes for work in works]
        for step in range(max(map(len, steps), default=0)):
            self._step([(w, spans[step]) for w, spans in zip(works, steps, strict=True) if step < len(spans)])
        self._warn(works)
        return [work.result(k) for work in works]

    def _step(self, jobs: list[tuple[_Work, tuple[int, int]]]) -> None:
        """Order one window of every query that has one left."""
        started = perf_counter()
        room = self._reply_tokens(max(end - start for _, (start, end) in jobs))
        rendered = [self._fitting(work, span, room) for work, span in jobs]
        # Greedy; a reply needs no more room than its own window's permutation, but one limit serves the batch.
        completions = self.llm.complete(rendered, SamplingParams(max_tokens=room))
        seconds = (perf_counter() - started) / len(jobs)
        for (work, span), prompt, completion in zip(jobs, rendered, completions, strict=True):
            opening = prompt[-1].content if prompt[-1].role == "assistant" else ""
            work.reorder(span, opening + completion.text, completion, seconds)

    def _fitting(self, work: _Work, span: tuple[int, int], room: int) -> Prompt:
        """The prompt of a window, with fewer words per passage until it fits the context window."""
        words, limit = self.max_words, self.llm.context_window - room
        prompt = self._render(work, span, words)
        [tokens] = self.llm.count_tokens([prompt])
        while tokens > limit and words > 1:
            work.counts["shortened"] += words == self.max_words
            words = max(1, min(words - 1, int(words * limit / tokens)))
            prompt = self._render(work, span, words)
            [tokens] = self.llm.count_tokens([prompt])
        return prompt

    def _render(self, work: _Work, span: tuple[int, int], words: int) -> tuple[Message, ...]:
        shown = [" ".join(document.full_text.split()[:words]) for document in work.order[slice(*span)]]
        passages = "\n\n".join(f"[{number}] {text}" for number, text in enumerate(shown, start=1))
        return self.prompt.render(passages=passages, query=work.ranking.query.text, n=str(len(shown)))

    def _reply_tokens(self, n: int) -> int:
        """Tokens of the longest well-formed reply about `n` passages, and a few to spare."""
        reply = " > ".join(f"[{number}]" for number in range(1, n + 1))
        full, empty = self.llm.count_tokens([[Message(role="user", content=reply)], [Message(role="user", content="")]])
        return full - empty + _SPARE

    def _warn(self, works: Sequence[_Work]) -> None:
        calls = sum(work.counts["calls"] for work in works)
        bad = [work for work in works if work.counts["fallback"]]
        if bad:
            logger.warning(
                "rerank.listwise: %d of %d windows unusable (%d replies cut off); input order kept there; "
                "first: qid %r, %s",
                sum(work.counts["fallback"] for work in works),
                calls,
                sum(work.counts["cut_off"] for work in works),
                bad[0].ranking.qid,
                bad[0].first_bad,
            )


def windows(n: int, window: int, stride: int) -> list[tuple[int, int]]:
    """Half-open spans over `n` places, from the tail to the head; the last one starts at 0.

    >>> windows(25, 20, 10)
    [(5, 25), (0, 15)]
    """
    if n < 2:
        return []
    spans = [(max(0, n - window), n)]
    while spans[-1][0] > 0:
        end = spans[-1][1] - stride
        spans.append((max(0, end - window), end))
    return spans


@dataclass(slots=True)
class _Work:
    """One ranking while it is reordered."""

    ranking: Ranking
    order: list[Document]
    rest: list[Document]
    counts: Counter[str] = field(default_factory=Counter)
    usage: Usage = field(default_factory=Usage)
    first_bad: str = ""

    @classmethod
    def of(cls, ranking: Ranking, depth: int | None) -> _Work:
        unique = list({hit.doc_id: hit.document for hit in reversed(ranking.hits)}.values())[::-1]
        head = unique[:depth]
        return cls(ranking=ranking, order=head, rest=unique[len(head) :])

    def reorder(self, span: tuple[int, int], reply: str, completion: Completion, seconds: float) -> None:
        """Put the reply's order in place of the window's."""
        window = self.order[slice(*span)]
        order, report = parse_permutation(reply, len(window))
        self.order[slice(*span)] = [window[position] for position in order]
        kind = "fallback" if report.fallback else "ok" if report.ok else "repaired"
        self.counts.update(
            {"calls": 1, kind: 1, "cut_off": int(completion.finish_reason == "length")}
            | {"unknown": report.unknown, "repeated": report.repeated, "missing": report.missing}
        )
        if report.fallback and not self.first_bad:
            self.first_bad = f"ranks {span[0] + 1}-{span[1]}"
        self.usage += usage_of(completion, seconds=seconds)

    def result(self, k: int) -> Ranking:
        return replace(
            self.ranking,
            hits=in_this_order(self.order + self.rest, k=k),
            outcome=self._outcome(),
            usage=self.usage,
        )

    def _outcome(self) -> Outcome:
        counts = {name: n for name, n in self.counts.items() if n}
        calls, fallback, repaired = (self.counts[name] for name in ("calls", "fallback", "repaired"))
        if fallback:
            detail = f"{fallback} of {calls} windows unusable, input order kept there; first: {self.first_bad}"
            return Outcome(kind="fallback", detail=detail, counts=counts)
        if repaired:
            return Outcome(kind="repaired", detail=f"{repaired} of {calls} windows mended", counts=counts)
        return Outcome(counts=counts) if counts else OK
