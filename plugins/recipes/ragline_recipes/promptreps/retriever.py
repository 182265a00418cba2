"""First stage without a trained retriever: a chat model's own state, as a vector and as weighted words."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import ClassVar, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from rag.filters import VersionsData, WhereData, both, newest_of
from rag.indexes import Index, best_documents
from rag.ranking import require_k
from rag.types import OK, Outcome, Query, Ranking, ScoredDocument, Usage
from ragline_recipes.promptreps.encoder import Representations
from ragline_recipes.promptreps.leg import Best, PromptRepsLeg

Form = Literal["dense", "sparse", "hybrid"]
_FLOOR = 1e-9
"""The least spread that scores of a list are divided by."""

_BLANK = Outcome(kind="empty", detail="the query has no text to encode")


class PromptRepsRetriever:
    """Dense and sparse retrieval by one prompt (PromptReps: Zhuang et al., EMNLP 2024, arXiv 2404.18424).

    The model is asked for the one word that represents a text. Its state before that word is the text's vector; its
    logits there, of the text's own words, are the weights of a lexical representation. Both come from one forward
    pass per text. Hybrid is half and half of both lists, each cut at `depth` and min-max normalised.

    The units' representations are a leg of the index, made when it is built (`index.promptreps` in a graph); queries are
    read by the same model under the same prompt. Stop words are Lucene's 33 and words are runs of letters and digits,
    where the paper has NLTK's.

    Not here, of what the paper has: pooling over the first word or over several tokens, several words of a vector each,
    expansion by other words of the vocabulary, and training. One leg of the index holds both forms, whichever is
    searched.

    Args:
        index: the index whose units are searched.
        form: which representation is searched.
        depth: hits of each list that hybrid fuses.
        where: a filter that holds beside the query's own: {"lang": "de"}, or text such as 'year >= 2020'.
        versions: `newest` leaves out what another document replaces, as its metadata `replaces` says; {key: name, date:
            released} what has the same `name` and was released before. Of what passes the filters.
    """

    leg: ClassVar[str] = "promptreps"

    def __init__(
        self,
        *,
        index: Index,
        form: Form = "hybrid",
        depth: int = 1000,
        where: WhereData | None = None,
        versions: VersionsData = "all",
    ) -> None:
        if form not in get_args(Form):
            raise ValueError(f"retrieve.promptreps: form must be one of {', '.join(get_args(Form))}, got {form!r}")
        if depth < 1:
            raise ValueError(f"retrieve.promptreps: depth must be at least 1, got {depth}")
        self.form, self.depth, self._index, self._where = form, depth, index, newest_of(versions, where)

    def warm_up(self) -> None:
        """Open the leg and load the model now instead of at the first call."""
        self._leg.encoder.encode(["warm"], role="query")

    def retrieve(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """One ranking per query, in order, from one pass over all of them. A query of blank text has no hits.

        Scores are inner products: of unit vectors, of weights, or the fused ones from 0 to 1.
        """
        require_k(k, by="retrieve.promptreps")
        text_queries = [query for query in queries if query.text.strip()]
        if not text_queries:
            return [Ranking(query=query, source="promptreps", outcome=_BLANK) for query in queries]
        started = perf_counter()
        represented = self._leg.encoder.encode([query.text for query in text_queries], role="query")
        hits = [self._hits(represented, row, query, k) for row, query in enumerate(text_queries)]
        usage = Usage(
            calls=1,
            prompt_tokens=represented.n_tokens // len(text_queries),
            seconds=(perf_counter() - started) / len(text_queries),
        )
        hits_left = iter(hits)
        return [
            Ranking(query=query, hits=next(hits_left), source="promptreps", outcome=OK, usage=usage)
            if query.text.strip()
            else Ranking(query=query, source="promptreps", outcome=_BLANK)
            for query in queries
        ]

    @property
    def _leg(self) -> PromptRepsLeg:
        return cast(PromptRepsLeg, self._index.leg("promptreps"))

    def _hits(self, represented: Representations, place: int, query: Query, k: int) -> tuple[ScoredDocument, ...]:
        leg, where = self._leg, both(self._where, query.where)
        n = self.depth if self.form == "hybrid" else k
        lists: list[Best] = []
        if self.form != "sparse":
            lists.append(leg.nearest(represented.dense[place], k=n, where=where))
        if self.form != "dense":
            lists.append(leg.sharing(represented.weights(place), k=n, where=where))
        if len(lists) == 2:
            return best_documents(self._index, *_fused([self._first(rows, scores, n) for rows, scores in lists]), k=k)
        return best_documents(self._index, *lists[0], k=k)

    def _first(self, rows: NDArray[np.int64], scores: NDArray[np.float64], n: int) -> Best:
        """The `n` best hits, rows ascending; where units tie for the last places, doc_id decides."""
        if len(rows) <= n:
            return rows, scores
        last = scores.min()
        certain, equal = rows[scores > last], rows[scores == last].tolist()
        documents = zip(self._index.documents.many(equal), equal, strict=True)
        by_id = [row for _, row in sorted((document.doc_id, row) for document, row in documents)]
        kept = np.isin(rows, np.array([*certain.tolist(), *by_id[: n - len(certain)]], dtype=np.int64))
        return rows[kept], scores[kept]


def _fused(lists: Sequence[Best]) -> Best:
    """Half of each list's min-max values over the rows of any; a unit that one list lacks gets 0 from it."""
    union = np.unique(np.concatenate([rows for rows, _ in lists]))
    fused = np.zeros(len(union))
    for rows, scores in lists:
        spread = np.ptp(scores) if len(scores) else 0.0
        values = (scores - scores.min()) / max(spread, _FLOOR) if spread else np.ones(len(scores))
        fused[np.searchsorted(union, rows)] += values / len(lists)
    return union, fused
