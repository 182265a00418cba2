"""A document's score, shared out over the tokens of its text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rag.errors import StageError
from rag.types import Document
from rerankers.attention.question import Question
from rerankers.attention.weigh import Scores, spread


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenScore:
    """A token's part in a document's score. `start` and `end` are characters of the document's text."""

    start: int
    end: int
    score: float


def token_scores(
    question: Question, document: Document, *, weights: Scores, among: Sequence[Document] = ()
) -> list[TokenScore]:
    """Every token of the text that was read, in order, with its part of the match, weighted over heads.

    `among`: the candidates that the document is ranked among; every head's part is then divided by the spread of its
    matches over them, as it is in the ranking. Call it within `attention_switched`.

    Raises:
        StageError: the attention is not finite.
    """
    reader = question.reader
    keys, *theirs = reader.read([reader.block(each)[0] for each in (document, *among)]).keys
    by_head = question.match_tokens(keys)
    over_candidates = question.match(theirs) if among else None
    trouble = question.trouble(by_head) or (over_candidates is not None and question.trouble(over_candidates))
    if trouble:
        raise StageError(f"rerank.attention: {trouble}, so the score of '{document.doc_id}' cannot be explained")
    if over_candidates is not None:
        weights = weights / spread(over_candidates)[:, 0]
    placed = zip(reader.spans(document), (weights @ by_head).tolist(), strict=True)
    return [TokenScore(start=start, end=end, score=part) for (start, end), part in placed if end > start]
