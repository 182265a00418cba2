"""Query with what a model wrote about it -> the same, or the query alone where what was written strays from the corpus."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from types import MappingProxyType
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rag.indexes import Index, unit
from rag.types import NO_USAGE, Outcome, Query, Ranking, ScoredDocument, Usage
from rag.writing import overlap, require_one_of, require_positive, require_share

Signal = Literal["agreement", "hits", "words"]

LEAST: Mapping[Signal, float] = MappingProxyType({"agreement": 0.3, "hits": 0.45, "words": 0.1})
"""The closeness below which a text is dropped, if nobody says otherwise. Of those that keep half of the texts they lose least on
the tuning queries of `benchmarks.checked_hyde`, three hits, a writer of 135 million parameters. For `agreement` it means one
shared hit, and with a writer of 1.5 billion parameters it is again the best."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What one query's written texts are held against: the first hits that the query found by itself."""

    query: Query
    texts: tuple[str, ...]
    hits: tuple[ScoredDocument, ...]


class CheckedReformulator:
    """Written documents that stray from the corpus dropped, and the query searched alone (for HyDE: arXiv 2212.10496).

    A model writes as well about what the corpus does not have; such a document leads away from it. So what HyDE wrote is held
    against what the query finds by itself. Its closeness, from 0 to 1, is the mean over the query's texts of

    - `agreement`: the share of the query's first `depth` hits that the text finds too, among its own first `depth`, by the
      dense leg;
    - `hits`: the mean cosine of the text's vector with those of the first `depth` hits;
    - `words`: the largest share of its content words that one of the first `depth` hits has, weighted by rarity.

    Below `least` all texts of the query go. It is one decision for a query, so any way to combine texts with it may stand
    before: `hyde`, `sl_hyde` or `code`. A query without a written document, or without hits, is passed on, counted as
    `unchecked`. Not in the paper, which uses every document.

    Args:
        index: the index whose dense leg has the vectors.
        signal: what closeness is. Of the three, `agreement` loses least with a writer of 1.5 billion parameters.
        least: closeness from which texts are kept, from 0 to 1; null takes what `benchmarks.checked_hyde` chose for the signal.
        depth: hits that are looked at.
    """

    one_per_query = True
    leg: ClassVar[str] = "dense"

    def __init__(
        self, *, index: Index, signal: Signal = "agreement", least: float | None = None, depth: int = 3
    ) -> None:
        by = "reformulate.checked"
        require_one_of(by, get_args(Signal), signal=signal)
        require_positive(by, depth=depth)
        self._index, self.signal, self.depth = index, signal, depth
        self.least = LEAST[signal] if least is None else least
        require_share(by, least=self.least)

    def reformulate(self, queries: Sequence[Query], feedback: Sequence[Ranking]) -> list[Query]:
        """One query per query, in order. Counts: texts `kept`, `dropped` and `unchecked` queries.

        `feedback`: what the query found by itself, one ranking each. Usage counts the texts that were encoded.
        """
        held = [self._held(query, ranking) for query, ranking in zip(queries, feedback, strict=True)]
        values = iter(self.closeness([each for each in held if each.hits and each.texts]))
        return [
            self._decided(each, next(values)) if each.hits and each.texts else _unchecked(each.query) for each in held
        ]

    def closeness(self, held: Sequence[Held]) -> list[float]:
        """The closeness of each query's texts to its hits, of which there are some; from 0 to 1, the mean over its texts."""
        measures: Mapping[Signal, Callable[[Sequence[Held]], list[float]]] = {
            "agreement": self._agreement,
            "hits": self._cosines,
            "words": _words,
        }
        return [min(1.0, max(0.0, value)) for value in measures[self.signal](held)]

    def _held(self, query: Query, ranking: Ranking) -> Held:
        texts = tuple(part.text for part in query.parts if part.role == "document")
        return Held(query=query, texts=texts, hits=ranking.hits[: self.depth])

    def _decided(self, held: Held, closeness: float) -> Query:
        usage = Usage(calls=0 if self.signal == "words" else len(held.texts))
        kept = closeness >= self.least
        outcome = Outcome(
            detail=f"closeness {closeness:.2f}, {'kept' if kept else 'dropped'}: at least {self.least:g} is wanted",
            counts={"kept" if kept else "dropped": len(held.texts)},
        )
        if kept:
            return replace(held.query, outcome=outcome, usage=usage)
        return replace(held.query, parts=(), terms={}, outcome=outcome, usage=usage)

    def _agreement(self, held: Sequence[Held]) -> list[float]:
        values = []
        for each, vectors in zip(held, self._encoded(held), strict=True):
            rows, _ = self._dense.search(vectors, k=self.depth, where=each.query.where)
            own = set(self._rows(each.hits))
            shares = [len(own & {*found}) / len(each.hits) for found in rows.tolist()]
            values.append(fmean(shares))
        return values

    def _cosines(self, held: Sequence[Held]) -> list[float]:
        values = []
        for each, vectors in zip(held, self._encoded(held), strict=True):
            rows = self._rows(each.hits)
            found = self._dense.vectors(np.array(rows)) if rows else np.zeros((1, vectors.shape[1]), np.float32)
            values.append(float((unit(vectors) @ unit(found).T).mean()))
        return values

    def _encoded(self, held: Sequence[Held]) -> list[NDArray[np.float32]]:
        """For each query float32 [n_texts, dim]; every text is encoded once, all in one batch."""
        texts = list(dict.fromkeys(text for each in held for text in each.texts))
        if not texts:
            return []
        vectors = self._dense.encoder.encode(texts, role="document")
        place = {text: number for number, text in enumerate(texts)}
        return [vectors[[place[text] for text in each.texts]] for each in held]

    @property
    def _dense(self) -> Any:
        return self._index.leg(self.leg)

    def _rows(self, hits: Sequence[ScoredDocument]) -> list[int]:
        """The rows of hits; those of another index have none."""
        rows = []
        for hit in hits:
            try:
                rows.append(self._index.documents.row(hit.doc_id))
            except KeyError:
                continue
        return rows


def _words(held: Sequence[Held]) -> list[float]:
    return [
        fmean(max(overlap(text, hit.document.full_text) for hit in each.hits) for text in each.texts) for each in held
    ]


def _unchecked(query: Query) -> Query:
    return replace(query, outcome=Outcome(counts={"unchecked": 1}), usage=NO_USAGE)
