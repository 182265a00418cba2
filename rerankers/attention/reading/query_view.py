"""A query as the heads of a reader see it, less what queries without content get anyway; a score shared out by tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rag.core.errors import StageError
from rag.core.types import Document
from rerankers.attention.reading.weigh import Scores, Weighing, spread

if TYPE_CHECKING:
    from torch import Tensor

    from rerankers.attention.reading.blocks import QueryVectors
    from rerankers.attention.reading.match import Over
    from rerankers.attention.reading.reader import BlockReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One query to one reader. `nulls`: queries without content, and how much of each one's match is subtracted."""

    reader: BlockReader
    query: QueryVectors
    nulls: Sequence[tuple[QueryVectors, float]] = ()
    over: Over = "all"

    def match(self, documents: Sequence[Tensor]) -> Scores:
        """float64 [n_heads, n_documents], from the documents' keys."""
        scores = self.reader.match(self.query, documents, over=self.over).double()
        for null, strength in self.nulls:
            scores -= strength * self.reader.match(null, documents, over=self.over).double()
        result: Scores = scores.numpy()
        return result

    def match_tokens(self, document: Tensor) -> Scores:
        """float64 [n_heads, n_tokens]: what each token adds to one document's match."""
        scores = self.reader.match_tokens(self.query, document, over=self.over).double()
        for null, strength in self.nulls:
            scores -= strength * self.reader.match_tokens(null, document, over=self.over).double()
        result: Scores = scores.numpy()
        return result

    def trouble(self, by_head: Scores, priors: Scores | None = None) -> str:
        """Which head has a number that is not finite, in words; nothing where all is well."""
        wrong = ~np.isfinite(by_head).all(axis=1)
        if not wrong.any():
            well = priors is None or np.isfinite(priors).all()
            return "" if well else "attention of a head of the prior is not finite"
        layer, head = self.reader.plan.names[int(wrong.argmax())]
        return f"attention of layer {layer}, head {head} is not finite"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenScore:
    """A token's part in a document's score. `start` and `end` are characters of the document's text."""

    start: int
    end: int
    score: float


def token_scores(
    question: Question, document: Document, *, weighing: Weighing, among: Sequence[Document] = ()
) -> list[TokenScore]:
    """Every token of the text that was read, in order, with its part of the match, weighted over heads, less its part of
    the prior.

    `among`: the candidates that the document is ranked among; where matches are standardised over them, every head's part
    is divided by the spread of its matches, as it is in the ranking. Call it within `attention_switched`.

    Raises:
        StageError: the attention is not finite.
    """
    reader, weights = question.reader, weighing.weights
    state, *theirs = reader.read([reader.block(each)[0] for each in (document, *among)]).states
    by_head = question.match_tokens(state.keys)
    standardised = among and not weighing.absolute
    over_candidates = question.match([each.keys for each in theirs]) if standardised else None
    prior = np.zeros(by_head.shape[1]) if state.prior is None else weighing.strength * state.prior.double().numpy()
    trouble = question.trouble(by_head, prior)
    trouble = trouble or ("" if over_candidates is None else question.trouble(over_candidates))
    if trouble:
        raise StageError(f"rerank.attention: {trouble}, so the score of '{document.doc_id}' cannot be explained")
    if over_candidates is not None:
        weights = weights / spread(over_candidates)[:, 0]
    placed = zip(reader.spans(document), (weights @ by_head - prior).tolist(), strict=True)
    return [TokenScore(start=start, end=end, score=part) for (start, end), part in placed if end > start]
