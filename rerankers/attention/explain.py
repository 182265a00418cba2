"""A document's score, shared out over the tokens of its text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rag.core.errors import StageError
from rag.core.types import Document
from rerankers.attention.reading.query_view import Question
from rerankers.attention.reading.weigh import Weighing, spread


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
