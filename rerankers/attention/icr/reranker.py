"""In-context reranking: relevance read from the attention that a query pays to each document."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from rag.core.arguments import require_one_of, require_positive
from rag.core.memory import Need
from rag.core.protocols import CountsPromptMemory, LocalLLM, Weights
from rag.core.ranking import in_this_order, ranked_before, require_k, split_at
from rag.core.types import NO_USAGE, OK, Document, Outcome, Ranking, Usage
from rerankers.attention.heads.layout import Plan, make_plan, parse_heads
from rerankers.attention.icr.listing import Listing
from rerankers.attention.icr.windows import slide
from rerankers.attention.reading.prompt import INSTRUCTIONS, Pieces
from rerankers.attention.reading.score import Pool, calibrated, document_scores
from rerankers.texts import ranked_by

if TYPE_CHECKING:
    from rerankers.attention.reading.capture import Reading

logger = logging.getLogger(__name__)

_USUAL_DEPTH = 100  # documents, where nothing says how many
_TOKENS_PER_WORD = 2  # more than any tokenizer needs on average


class ICRReranker:
    """In-context reranking by attention (Chen et al., ICLR 2025, arXiv 2410.02642). Nothing is generated.

    All candidates and then the query stand in one prompt. A document's score is the attention that the tokens
    after the documents pay to its tokens, summed over layers and heads, less the attention that a query
    without content gets, so scores can be compared within one prompt only. The defaults are the paper's.

    Args:
        llm: a model in this process; any decoder whose attention goes through transformers' attention
            functions.
        depth: how many of a ranking's first hits are reranked; the others follow in their order. None reranks
            all.
        instruction: late instruction before the query. qa asks for an answer, ie asks for relevant
            information.
        heads: heads to read, as "layer-head" from 0, such as "17-4". None reads all.
        head_weights: "layer-head" -> what its attention is multiplied by; 1 where it is not named.
        layers: first and last layer to read, from 0, both included. None reads all. No layer after the last
            one is run.
        null: the query without content.
        null_strength: how much of the null query's attention is subtracted.
        calibrate: false leaves out null query and token filter.
        token_filter_sigma: tokens this many standard deviations below their document's mean are left out of
            its score.
        order: reversed puts the best first-stage hit next to the query; given puts it first.
        pool: how token scores become a document's: their sum, mean, or the mean of the top_tokens highest.
        top_tokens: used by pool top_mean alone.
        max_words: words of a title, and of a text, that are read.
        window: documents per prompt; windows slide from the last hit to the first. None puts all into one
            prompt, or as many as the context window holds.
        stride: documents by which a window moves; half the window by default.
    """

    def __init__(
        self,
        *,
        llm: LocalLLM,
        depth: int | None = None,
        instruction: Literal["qa", "ie"] = "ie",
        heads: tuple[str, ...] | None = None,
        head_weights: Mapping[str, float] | None = None,
        layers: tuple[int, int] | None = None,
        null: str = "N/A",
        null_strength: float = 1.0,
        calibrate: bool = True,
        token_filter_sigma: float = 2.0,
        order: Literal["reversed", "given"] = "reversed",
        pool: Pool = "sum",
        top_tokens: int = 8,
        max_words: int = 300,
        window: int | None = None,
        stride: int | None = None,
    ) -> None:
        require_one_of("rerank.icr", tuple(INSTRUCTIONS), instruction=instruction)
        require_one_of("rerank.icr", ("reversed", "given"), order=order)
        require_one_of("rerank.icr", ("sum", "mean", "top_mean"), pool=pool)
        require_positive("rerank.icr", depth=depth, top_tokens=top_tokens, max_words=max_words)
        if not (token_filter_sigma >= 0 and np.isfinite(null_strength)):
            raise ValueError(
                "rerank.icr: token_filter_sigma must be at least 0 and null_strength finite, got "
                f"{token_filter_sigma} and {null_strength}"
            )
        if window is not None and window < 2:
            raise ValueError(f"rerank.icr: window must be at least 2, got {window}")
        if stride is not None and (stride < 1 or (window is not None and stride >= window)):
            raise ValueError(
                f"rerank.icr: stride must be at least 1 and below window ({window}), got {stride}: "
                "windows that do not overlap cannot carry a document upward"
            )
        if layers is not None and not 0 <= layers[0] <= layers[1]:
            raise ValueError(f"rerank.icr: layers are (first, last) with 0 <= first <= last, got {layers}")
        self._heads = None if heads is None else parse_heads(heads)
        self._head_weights = dict(head_weights or {})
        _check_weights(self._head_weights, heads)
        if self._heads and layers and not all(layers[0] <= layer <= layers[1] for layer in self._heads):
            raise ValueError(f"rerank.icr: heads must lie within layers {layers}, got {heads}")
        self._llm, self._layers, self._depth = llm, layers, depth
        self._instruction, self._order, self._max_words = INSTRUCTIONS[instruction], order, max_words
        self._null, self._null_strength, self._calibrate = null, null_strength, calibrate
        self._sigma, self._pool, self._top_tokens = token_filter_sigma, pool, top_tokens
        self._window, self._stride = window, stride
        self._plan: Plan | None = None

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
        most = (self._window or self._depth or _USUAL_DEPTH) * self._max_words * _TOKENS_PER_WORD
        return [
            replace(
                self._llm.prompt_memory(min(most, self._llm.context_window)),
                smaller="lower depth or max_words of rerank.icr",
            )
        ]

    def _rerank(self, ranking: Ranking, k: int) -> Ranking:
        head, rest = split_at(ranking, self._depth)
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
        pieces = Pieces.of(lent.tokenizer, instruction=self._instruction)
        queries = (query, self._null) if self._calibrate else (query,)
        suffixes = [pieces.suffix(lent.tokenizer, text) for text in queries]
        listing = Listing(
            pieces,
            lent.tokenizer,
            documents,
            room=self._llm.context_window - max(map(len, suffixes)),
            max_words=self._max_words,
            backwards=self._order == "reversed",
        )
        if listing.fits < 2:
            return _PromptResult(trouble=f"the query's {len(suffixes[0])} tokens leave no room for documents")
        asked = min(self._window or len(documents), len(documents))
        size = min(asked, listing.fits)
        shrunk = f"only {size} of {asked} documents fit into one prompt" if size < asked else ""
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
            tokens = calibrated(real, null[0] if null else None, strength=self._null_strength)
            sigma = self._sigma if self._calibrate else None
            return document_scores(tokens, spans, sigma=sigma, pool=self._pool, top_tokens=self._top_tokens)

        with attention_switched(decoder):
            try:
                if size == len(documents):
                    work.scores = score(range(size))
                    work.order = list(range(size))
                else:
                    stride = min(self._stride or size // 2, size - 1)
                    work.order, work.windows = slide(len(documents), score, window=size, stride=stride)
            except _Broken as broken:
                work.trouble = str(broken)
        return work

    def _attention(self, decoder: Any, prefix: Sequence[int], suffixes: Sequence[Sequence[int]], plan: Plan) -> Reading:
        from rerankers.attention.reading.capture import ColumnSum, encode_prefix, read_suffixes

        collector = ColumnSum(plan, weights=self._head_weights)
        states = encode_prefix(decoder, prefix, plan=plan)
        read_suffixes(decoder, states, suffixes, plan=plan, collector=collector)
        return collector.result()

    def _make_plan(self, config: Any) -> Plan:
        if self._plan is None:
            context = self._llm.context_window
            plan = make_plan(config, context=context, heads=self._heads, layers=self._layers)
            if plan.skipped:
                logger.info(
                    "rerank.icr: layers %s do not attend to the whole prompt and are not read; %d layers are",
                    ", ".join(map(str, plan.skipped)),
                    len(plan.heads),
                )
            self._plan = plan
        return self._plan


def rank_texts(llm: LocalLLM, query: str, texts: Sequence[str], **settings: Any) -> list[tuple[int, float]]:
    """Rerank plain strings: (position in `texts`, score), best first. `settings` are those of `ICRReranker`.

    Texts are taken to be in first-stage order, best first.
    """
    return ranked_by(ICRReranker(llm=llm, **settings), query, texts)


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


def _check_weights(weights: Mapping[str, float], heads: tuple[str, ...] | None) -> None:
    if weights:
        parse_heads(tuple(weights))
    unread = [] if heads is None else [name for name in weights if name not in heads]
    if unread or not np.isfinite(list(weights.values())).all():
        raise ValueError(
            f"rerank.icr: head_weights must be finite and of heads that are read, got {dict(weights)}"
            + (f", of which heads leaves out {', '.join(unread)}" if unread else "")
        )


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
