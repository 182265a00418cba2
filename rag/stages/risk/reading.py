"""Signals of answers and of what they are written from, with what the legs of the index find for their questions."""

from __future__ import annotations

from collections.abc import Sequence

from rag.core.types import Answer, Context, Query, Ranking
from rag.ingest.sentences import sentences
from rag.stages.risk.logistic import Signals
from rag.stages.risk.signals import of_legs, of_meaning, of_passages, written
from retrievers.index_protocol import Index

LEGS = ("lexical", "dense")
"""Legs that are asked, where the index has them."""
_DEPTH = 20
_SENTENCES = 60
"""Sentences of an answer's passages that are compared with the question, from the first passage on."""


class SignalReader:
    """Reads the signals of answers over one index.

    Each leg is asked again for the question, for a graph may have rewritten it, fused the legs or kept two hits of them: that
    takes milliseconds, and the same question always gets the same signals. Its filter holds.
    """

    written = staticmethod(written)

    def __init__(self, index: Index) -> None:
        self._index = index

    @property
    def model_names(self) -> list[tuple[str, str | None]]:
        """Models that the legs need, with their hub revisions."""
        return self._index.model_names([leg for leg in LEGS if leg in self._index.legs])

    def read(self, answers: Sequence[Answer]) -> list[Signals]:
        """Name -> value for each answer, in order. Which names there are depends on the legs of the index."""
        before = self.before([answer.context for answer in answers])
        return [self.written(known, answer) for known, answer in zip(before, answers, strict=True)]

    def before(self, contexts: Sequence[Context]) -> list[Signals]:
        """Name -> value of what is known before anything is written, for each context."""
        legs = self._legs([_question(context.query) for context in contexts])
        near = self._near(contexts)
        return [
            {
                **of_legs({name: rankings[place] for name, rankings in legs.items()}),
                **of_passages(context),
                **near[place],
            }
            for place, context in enumerate(contexts)
        ]

    def _legs(self, queries: Sequence[Query]) -> dict[str, list[Ranking]]:
        from retrievers.legs.dense.retriever import DenseRetriever
        from retrievers.legs.lexical.retriever import BM25Retriever

        kinds = dict(zip(LEGS, (BM25Retriever, DenseRetriever), strict=True))
        return {
            name: kinds[name](index=self._index).retrieve(queries, k=_DEPTH)
            for name in LEGS
            if name in self._index.legs
        }

    def _near(self, contexts: Sequence[Context]) -> list[dict[str, float | None]]:
        if "dense" not in self._index.legs:
            return [{} for _ in contexts]
        from retrievers.legs.dense.search import dense

        encoder = dense(self._index).encoder
        questions = encoder.encode([context.query.root.text for context in contexts], role="query")
        texts = [_sentences(context) for context in contexts]
        vectors = encoder.encode([text for group in texts for text in group], role="document")
        near, start = [], 0
        for question, group in zip(questions, texts, strict=True):
            near.append(of_meaning(question, vectors[start : start + len(group)]))
            start += len(group)
        return near


def _question(query: Query) -> Query:
    """The question as it was asked, understandable alone."""
    root = query.root
    return Query(qid=query.qid, text=root.text, where=root.where)


def _sentences(context: Context) -> list[str]:
    texts = (hit.document.full_text for hit in context.passages)
    return [text[start:end] for text in texts for start, end in sentences(text)][:_SENTENCES]
