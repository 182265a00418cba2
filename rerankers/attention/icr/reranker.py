"""In-context reranking: relevance read from the attention that a query pays to each document."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rag.core.llm_protocols import CountsPromptMemory, Weights
from rag.core.memory import Need
from rag.core.options import takes
from rag.core.ranking import in_this_order, ranked_before, require_k, split_at
from rag.core.types import NO_USAGE, OK, Document, Outcome, Ranking, Usage
from rerankers.attention.heads.layout import Plan, make_plan
from rerankers.attention.icr.listing import Listing
from rerankers.attention.icr.options import ICROptions
from rerankers.attention.reading.prompt import INSTRUCTIONS, Pieces
from rerankers.attention.reading.score import calibrated, document_scores

if TYPE_CHECKING:
    from rerankers.attention.reading.capture import Reading

logger = logging.getLogger(__name__)

_USUAL_DEPTH = 100  # documents, where nothing says how many
_TOKENS_PER_WORD = 2  # more than any tokenizer needs on average


Scorer = Callable[[Sequence[int]], NDArray[np.float64]]
"""Positions, best first -> a finite score for each, comparable within this call alone."""


class ICRReranker:
    """In-context reranking by attention (Chen et al., ICLR 2025, arXiv 2410.02642). Nothing is generated.

    All candidates and then the query stand in one prompt. A document's score is the attention that the tokens
    after the documents pay to its tokens, summed over layers and heads, less the attention that a query
    without content gets, so scores can be compared within one prompt only. The defaults are the paper's.
    """

    @takes(ICROptions)
    def __init__(self, options: ICROptions) -> None:
        self.options, self._llm = options, options.llm
        self._plan: Plan | None = None

    @property
    def depth(self) -> int | None:
        """How many of a ranking's first hits are read; None: all."""
        return self.options.depth

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        """Each ranking's documents by attention, at most `k`, best first.

        Scores are those of the one prompt; hits beyond `depth` get falling scores below them. When windows
        were needed, scores are 1 / rank. A query whose attention holds a NaN, or that leaves no room for
        documents, keeps its order and scores: outcome `fallback`.

        Raises:
            SpecError: the model's attention cannot be read, or it has no such layer or head.
        """
        require_k(k, by="rerank.icr")
        reranked = [self._rerank(ranking, k) for ranking in rankings]
        _warn(reranked)
        return reranked

    def memory(self) -> list[Need]:
        """Keys and values of the longest prompt that `depth` documents make, beside the model's own batches.

        Raises:
            MissingModel: the model is not here yet.
        """
        if not isinstance(self._llm, CountsPromptMemory):
            return []
        most = (self.options.window or self.options.depth or _USUAL_DEPTH) * self.options.max_words * _TOKENS_PER_WORD
        return [
            replace(
                self._llm.prompt_memory(min(most, self._llm.context_window)),
                smaller="lower depth or max_words of rerank.icr",
            )
        ]

    def _rerank(self, ranking: Ranking, k: int) -> Ranking:
        head, rest = split_at(ranking, self.options.depth)
        hits = head + rest
        if len(head) < 2:
            return replace(ranking, hits=hits[:k], outcome=OK, usage=NO_USAGE)
        started = perf_counter()
        with self._llm.weights() as lent:
            work = self._read(lent, ranking.query.text, [hit.document for hit in head])
        usage = replace(work.usage, seconds=perf_counter() - started)
        if work.order is None:
            return replace(ranking, hits=hits[:k], outcome=work.outcome(), usage=usage)
        if work.scores is None:
            in_order = [head[i].document for i in work.order] + [hit.document for hit in rest]
            return replace(ranking, hits=in_this_order(in_order, k=k), outcome=work.outcome(), usage=usage)
        scored = ranked_before([hit.document for hit in head], work.scores.tolist(), [hit.document for hit in rest])
        return replace(ranking, hits=scored[:k], outcome=work.outcome(), usage=usage)

    def _read(self, lent: Weights, query: str, documents: Sequence[Document]) -> _PromptResult:
        """Order of the documents, best first, and their scores if one prompt held them all."""
        from rerankers.attention.reading.capture import attention_switched

        decoder = lent.model.get_decoder()
        plan = self._make_plan(decoder.config)
        pieces = Pieces.of(lent.tokenizer, instruction=INSTRUCTIONS[self.options.instruction])
        queries = (query, self.options.null) if self.options.calibrate else (query,)
        suffixes = [pieces.suffix(lent.tokenizer, text) for text in queries]
        listing = Listing(
            pieces,
            lent.tokenizer,
            documents,
            room=self._llm.context_window - max(map(len, suffixes)),
            max_words=self.options.max_words,
            backwards=self.options.order == "reversed",
        )
        if listing.fits < 2:
            return _PromptResult(trouble=f"the query's {len(suffixes[0])} tokens leave no room for documents")
        window = min(self.options.window or len(documents), len(documents))
        size = min(window, listing.fits)
        shrunk = f"only {size} of {window} documents fit into one prompt" if size < window else ""
        work = _PromptResult(cut=len(listing.cut), shrunk=shrunk)

        def score(positions: Sequence[int]) -> NDArray[np.float64]:
            prefix, spans = listing.prefix(positions)
            reading = self._attention(decoder, prefix, suffixes, plan)
            work.usage += Usage(
                calls=2,
                prompt_tokens=len(prefix) * len(suffixes) + sum(map(len, suffixes)),
                cached_tokens=len(prefix) * (len(suffixes) - 1),
            )
            if reading.broken is not None:
                raise _Broken("attention of layer {}, head {} is not finite".format(*reading.broken))
            real, *null = reading.scores.numpy()
            tokens = calibrated(real, null[0] if null else None, strength=self.options.null_strength)
            sigma = self.options.token_filter_sigma if self.options.calibrate else None
            return document_scores(
                tokens, spans, sigma=sigma, pool=self.options.pool, top_tokens=self.options.top_tokens
            )

        with attention_switched(decoder):
            try:
                if size == len(documents):
                    work.scores = score(range(size))
                    work.order = list(range(size))
                else:
                    stride = min(self.options.stride or size // 2, size - 1)
                    work.order, work.windows = slide(len(documents), score, window=size, stride=stride)
            except _Broken as broken:
                work.trouble = str(broken)
        return work

    def _attention(self, decoder: Any, prefix: Sequence[int], suffixes: Sequence[Sequence[int]], plan: Plan) -> Reading:
        from rerankers.attention.reading.capture import ColumnSum, encode_prefix, read_suffixes

        collector = ColumnSum(plan, weights=self.options.head_weights or {})
        states = encode_prefix(decoder, prefix, plan=plan)
        read_suffixes(decoder, states, suffixes, plan=plan, collector=collector)
        return collector.result()

    def _make_plan(self, config: Any) -> Plan:
        if self._plan is None:
            context = self._llm.context_window
            plan = make_plan(config, context=context, heads=self.options.by_layer, layers=self.options.layers)
            if plan.skipped:
                logger.info(
                    "rerank.icr: layers %s do not attend to the whole prompt and are not read; %d layers are",
                    ", ".join(map(str, plan.skipped)),
                    len(plan.heads),
                )
            self._plan = plan
        return self._plan


class _Broken(Exception):
    """A number in the attention is not finite."""


@dataclass(kw_only=True)
class _PromptResult:
    """What became of one ranking. `order` is None when its input order has to do."""

    order: list[int] | None = None
    scores: NDArray[np.float64] | None = None
    windows: int = 1
    cut: int = 0
    shrunk: str = ""
    trouble: str = ""
    usage: Usage = NO_USAGE

    def outcome(self) -> Outcome:
        if self.trouble:
            return Outcome(kind="fallback", detail=f"{self.trouble}; input order kept", counts={"fallback": 1})
        counts = {name: n for name, n in (("windows", self.windows), ("cut", self.cut)) if n > (name == "windows")}
        cut = f"{self.cut} documents cut to fit" if self.cut else ""
        detail = "; ".join(filter(None, (self.shrunk, cut)))
        return Outcome(kind="repaired" if detail else "ok", detail=detail, counts=counts)


def _warn(rankings: Sequence[Ranking]) -> None:
    """One warning for the batch, if anything did not go as asked."""
    odd = [ranking for ranking in rankings if ranking.outcome.kind in ("repaired", "fallback")]
    if odd:
        kinds = Counter(ranking.outcome.kind for ranking in odd)
        logger.warning(
            "rerank.icr: %d of %d rankings not as asked (%s); first: qid '%s': %s",
            len(odd),
            len(rankings),
            ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items())),
            odd[0].qid,
            odd[0].outcome.detail,
        )


def by_score(positions: Sequence[int], scores: NDArray[np.float64]) -> list[int]:
    """Positions by descending score; equal scores keep their order."""
    return [positions[i] for i in np.argsort(-scores, kind="stable")]


def slide(n: int, score: Scorer, *, window: int, stride: int) -> tuple[list[int], int]:
    """Order of positions 0..n-1 (best first on entry) by windows that slide from the tail to the head.

    Each window is scored, its `stride` lowest become part of the final tail, the others go on into the next
    window behind the `stride` positions in front of it.

    Returns:
        The order, and the number of windows scored.
    """
    if not 1 <= stride < window:
        raise ValueError(f"stride must be at least 1 and below window ({window}), got {stride}")
    front = max(n - window, 0)
    carried, tail, n_windows = list(range(front, n)), list[int](), 0
    while True:
        carried = by_score(carried, score(carried))
        n_windows += 1
        if front == 0:
            return carried + tail, n_windows
        carried, lowest = carried[:-stride], carried[-stride:]
        tail = lowest + tail
        step = min(stride, front)
        carried = list(range(front - step, front)) + carried
        front -= step
