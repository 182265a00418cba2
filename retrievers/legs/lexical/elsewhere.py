"""BM25 over vectors that somebody else keeps: our own weights, a place for each term. So the ranking is ours."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import SpecError
from rag.core.filters import readers_of
from rag.core.types import Population, Where
from retrievers.analysis.settings import EACH, AnalyzerSettings
from retrievers.legs.lexical.impacts import WITH_FLOOR
from retrievers.legs.lexical.rank_bm25_leg import VARIANTS as RANK_BM25
from retrievers.legs.lexical.search import Impact, Words
from retrievers.legs.lexical.settings import LexicalSettings
from retrievers.legs.protocol import Facts, LegVectors, Sparse, VectorsElsewhere
from retrievers.stores.arrays import read_npy
from retrievers.stores.hits import as_batch, nothing_found

if TYPE_CHECKING:
    from retrievers.analysis.analyzer import Analyzer
    from retrievers.legs.lexical.leg import LexicalLeg
    from retrievers.legs.lexical.search import LexicalSearch

    def _keeps_the_protocol(leg: LexicalElsewhere) -> LexicalSearch:
        return leg


VOCABULARY, FREQUENCIES, FLOOR = "lexical/vocabulary.json", "lexical/frequencies.npy", "lexical/floor.npy"


def why_no_vectors(bm25: LexicalSettings, analyzer: AnalyzerSettings) -> str:
    """See `AsVectors.why_no_vectors`."""
    if bm25.variant in RANK_BM25:
        return (
            f"index.bm25.variant: {bm25.variant} scores by counts, which no server keeps; choose lucene, robertson, "
            "atire, bm25l or bm25+"
        )
    if analyzer.language == EACH:
        return f"index.analyzer.language: {EACH} keeps a leg for each language, and a server has one; name the language"
    return ""


def as_vectors(leg: LexicalLeg) -> LegVectors:
    """See `AsVectors.as_vectors`."""
    weights = leg.weights()
    starts, terms, values = weights.by_row(leg.n_docs)

    def between(first: int, last: int) -> list[Sparse]:
        spans = [slice(int(starts[row]), int(starts[row + 1])) for row in range(first, last)]
        return [Sparse(terms[span], values[span]) for span in spans]

    files: dict[str, Callable[[], bytes]] = {
        VOCABULARY: lambda: json.dumps(leg.vocabulary).encode(),
        FREQUENCIES: lambda: _npy(np.diff(weights.starts).astype(np.int32)),
    }
    floor = weights.floor
    if floor is not None:
        files[FLOOR] = lambda: _npy(np.asarray(floor))
    return LegVectors(between=between, files=files)


class LexicalElsewhere:
    """Searches weights where they are kept. The vocabulary is here: some 200 bytes of memory for each term.

    Safe to share between threads.
    """

    def __init__(self, kept: VectorsElsewhere, facts: Facts) -> None:
        self._kept, self._facts = kept, facts
        self.n_docs = len(kept)

    @cached_property
    def analyzer(self) -> Analyzer:
        """Text -> terms, as the index was built."""
        from retrievers.analysis.analyzer import Analyzer

        return Analyzer.from_description(dict(self._facts["analyzer"]))

    def __contains__(self, term: object) -> bool:
        return term in self._numbers

    def n_docs_of(self, term: str, *, where: Where | None = None) -> int:
        """How many documents might have the term: all."""
        return self.n_docs

    def document_frequency(self, term: str, *, where: Where | None = None) -> int:
        """How many documents have the term."""
        number = self._numbers.get(term)
        return 0 if number is None else int(self._frequencies[number])

    def knows(self, term: str, *, where: Where | None = None) -> bool:
        """Whether a document has the term that whoever asks may read: a question to the server."""
        return term in self and bool(self.search([{term: 1.0}], k=1, where=readers_of(where))[0][0, 0] >= 0)

    def words_like(self, term: str, *, least: int) -> list[Words]:
        """None: no words are looked for here."""
        return []

    def warm_up(self) -> None:
        """Fetch the vocabulary."""
        _ = self._numbers, self.analyzer

    def release(self) -> None:
        """Nothing to let go of."""

    def search(
        self, queries: Sequence[Mapping[str, float]], *, k: int, where: Where | None = None, threads: int = 1
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """See `LexicalSearch.search`.

        Raises:
            ValueError: k below 1.
            SpecError: a weight of a query is below 0.
        """
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        vectors = [self._vector(query) for query in queries]
        asked = [number for number, vector in enumerate(vectors) if len(vector.places)]
        found = self._kept.heaviest([vectors[number] for number in asked], k=k, where=where)
        rows, scores = nothing_found(len(queries), k)
        rows[asked], scores[asked] = as_batch(found, k=k, nothing=0.0)
        if self._floor is not None:
            floors = np.array([self._floor_of(vector) for vector in vectors], dtype=np.float32)
            np.add(scores, floors[:, None], out=scores, where=rows >= 0)
        return rows, scores

    def scores(
        self, query: Mapping[str, float], rows: NDArray[np.integer[Any]], *, where: Where | None = None
    ) -> NDArray[np.float32]:
        """See `LexicalSearch.scores`. The rows are one question."""
        asked, kept = self._vector(query), self._weights(rows.tolist())
        floor = 0.0 if self._floor is None else self._floor_of(asked)
        pairs = [*zip(asked.places.tolist(), asked.weights.tolist(), strict=True)]
        sums = [sum(weight * kept[row].get(place, 0.0) for place, weight in pairs) for row in rows.tolist()]
        return np.array(sums, dtype=np.float32) + np.float32(floor)

    def population(self, query: Mapping[str, float], *, where: Where | None = None) -> Population | None:
        """None: only the best are told, and not all."""
        return None

    def impacts(self, query: Mapping[str, float], row: int, *, where: Where | None = None) -> list[Impact]:
        """What each term of a query adds to a row's score, for each time it is asked; those that add nothing are left out."""
        weights = self._weights([row])[row]
        parts = []
        for term in query:
            number = self._numbers.get(term)
            if number is None:
                continue
            floor = 0.0 if self._floor is None else float(self._floor[number])
            impact = floor + weights.get(number, 0.0)
            if impact or number in weights:
                parts.append(Impact(term, impact, number in weights))
        return parts

    def _weights(self, rows: Sequence[int]) -> dict[int, dict[int, float]]:
        """Row -> term number -> what it adds to that row's score."""
        vectors: Mapping[int, Sparse] = self._kept.vectors(rows) if rows else {}
        return {
            row: dict(zip(each.places.tolist(), each.weights.tolist(), strict=True)) for row, each in vectors.items()
        }

    def _vector(self, query: Mapping[str, float]) -> Sparse:
        numbers = self._numbers
        weights = {numbers[term]: weight for term, weight in query.items() if weight and term in numbers}
        if any(weight < 0 for weight in weights.values()):
            raise SpecError("a server counts terms for a document, never against it: weights of terms must be above 0")
        places = sorted(weights)
        return Sparse(np.array(places, np.int64), np.array([weights[place] for place in places], np.float32))

    def _floor_of(self, vector: Sparse) -> float:
        assert self._floor is not None
        return float((self._floor[vector.places] * vector.weights).sum())

    @cached_property
    def _numbers(self) -> dict[str, int]:
        terms = json.loads(self._kept.file(VOCABULARY))
        return {term: number for number, term in enumerate(terms)}

    @cached_property
    def _frequencies(self) -> NDArray[np.int32]:
        return _array(self._kept.file(FREQUENCIES))

    @cached_property
    def _floor(self) -> NDArray[np.float32] | None:
        if self._facts.get("variant") not in WITH_FLOOR:
            return None
        return _array(self._kept.file(FLOOR))


def _npy(array: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def _array(data: bytes) -> NDArray[Any]:
    return read_npy(io.BytesIO(data))
