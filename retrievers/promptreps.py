"""First stage without a trained retriever: a chat model's own state, as a vector and as weighted words."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from time import perf_counter
from typing import ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rag.core.norms import min_max
from rag.core.ranking import ranked, require_k
from rag.core.types import OK, Outcome, Query, Ranking, ScoredDocument, Usage
from retrievers.index.directory import Index
from retrievers.promptreps_encoder import Representations

Form = Literal["dense", "sparse", "hybrid"]
Scores = NDArray[np.float64]
"""[n_units]; -inf where a unit is no hit."""

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
    searched, and a query's weights are multiplied with those of every unit: there are no postings that would spare any.

    Args:
        index: the index whose units are searched.
        form: which representation is searched.
        depth: hits of each list that hybrid fuses.
    """

    leg: ClassVar[str] = "promptreps"

    def __init__(self, *, index: Index, form: Form = "hybrid", depth: int = 1000) -> None:
        if form not in get_args(Form):
            raise ValueError(f"retrieve.promptreps: form must be one of {', '.join(get_args(Form))}, got {form!r}")
        if depth < 1:
            raise ValueError(f"retrieve.promptreps: depth must be at least 1, got {depth}")
        self.form, self.depth, self._index = form, depth, index

    def warm_up(self) -> None:
        """Open the leg and load the model now instead of at the first call."""
        _ = self._index.promptreps
        self._index.promptreps_encoder.encode(["warm"], role="query")

    def retrieve(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """One ranking per query, in order, from one pass over all of them. A query of blank text has no hits.

        Scores are inner products: of unit vectors, of weights, or the fused ones from 0 to 1.
        """
        require_k(k, by="retrieve.promptreps")
        asked = [query for query in queries if query.text.strip()]
        if not asked:
            return [Ranking(query=query, source="promptreps", outcome=_BLANK) for query in queries]
        units = self._index.promptreps
        started = perf_counter()
        represented = self._index.promptreps_encoder.encode([query.text for query in asked], role="query")
        hits = [self._hits(represented, at, query, units, k) for at, query in enumerate(asked)]
        usage = Usage(
            calls=1,
            prompt_tokens=represented.n_tokens // len(asked),
            seconds=(perf_counter() - started) / len(asked),
        )
        found = iter(hits)
        return [
            Ranking(query=query, hits=next(found), source="promptreps", outcome=OK, usage=usage)
            if query.text.strip()
            else Ranking(query=query, source="promptreps", outcome=_BLANK)
            for query in queries
        ]

    def _hits(
        self, represented: Representations, at: int, query: Query, units: Representations, k: int
    ) -> tuple[ScoredDocument, ...]:
        mask = self._index.mask(query.where)
        scores: list[Scores] = []
        if self.form != "sparse":
            scores.append((units.dense @ represented.dense[at]).astype(np.float64))
        if self.form != "dense":
            span = slice(represented.starts[at], represented.starts[at + 1])
            scores.append(self._sparse(represented.tokens[span], represented.weights[span], units))
        if mask is not None:
            scores = [np.where(mask, each, -np.inf) for each in scores]
        if len(scores) == 2:
            return self._best(_fused([(each, self._first(each, self.depth)) for each in scores]), k)
        return self._best(scores[0], k)

    def _sparse(self, tokens: NDArray[np.int32], weights: NDArray[np.int32], units: Representations) -> Scores:
        """Sum over shared tokens of the product of weights; a unit that shares none is no hit."""
        table = np.zeros(max(self._largest_token, int(tokens.max(initial=0))) + 1)
        table[tokens] = weights
        n_units = len(units.dense)
        total = np.bincount(self._rows, weights=table[units.tokens] * units.weights, minlength=n_units)
        return np.where(total > 0, total, -np.inf)

    def _first(self, scores: Scores, n: int) -> NDArray[np.int64]:
        """Rows of the `n` best hits, ascending; where units tie for the last places, doc_id decides."""
        rows = _tied(scores, n)
        if len(rows) <= n:
            return rows
        last = scores[rows].min()
        certain, tied = rows[scores[rows] > last], rows[scores[rows] == last].tolist()
        documents = zip(self._index.documents.many(tied), tied, strict=True)
        by_id = [row for _, row in sorted((document.doc_id, row) for document, row in documents)]
        return np.sort(np.array([*certain.tolist(), *by_id[: n - len(certain)]], dtype=np.int64))

    def _best(self, scores: Scores, k: int) -> tuple[ScoredDocument, ...]:
        """The k best; all units that tie with the last are looked at, so that doc_id decides."""
        rows = _tied(scores, k)
        documents = self._index.documents.many(rows.tolist())
        pairs = zip(documents, scores[rows].tolist(), strict=True)
        return ranked((ScoredDocument(document=document, score=score) for document, score in pairs), k=k)

    @cached_property
    def _rows(self) -> NDArray[np.int64]:
        """The row of every token of the units."""
        starts = self._index.promptreps.starts
        return np.repeat(np.arange(len(starts) - 1), np.diff(starts))

    @cached_property
    def _largest_token(self) -> int:
        return int(self._index.promptreps.tokens.max(initial=0))


def _tied(scores: Scores, n: int) -> NDArray[np.int64]:
    """Rows of the `n` best hits, and of all that tie with the last of them."""
    rows = np.flatnonzero(scores > -np.inf)
    if len(rows) > n:
        rows = rows[scores[rows] >= np.partition(scores[rows], -n)[-n]]
    return rows


def _fused(lists: Sequence[tuple[Scores, NDArray[np.int64]]]) -> Scores:
    """Half of each list's min-max values over the rows that it keeps; a unit that one list lacks gets 0 from it."""
    fused = np.full(len(lists[0][0]), -np.inf)
    for scores, kept in lists:
        values, _ = min_max(scores[kept].tolist())
        fused[kept] = np.where(fused[kept] > -np.inf, fused[kept], 0.0) + np.array(values) / len(lists)
    return fused
