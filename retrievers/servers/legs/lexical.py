"""BM25 on a server: our own weights as sparse vectors, a place for each term. So the ranking is ours."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import SpecError
from rag.core.types import Population, Where
from retrievers.analysis.settings import EACH, AnalyzerSettings
from retrievers.legs.lexical.impacts import WITH_FLOOR
from retrievers.legs.lexical.rank_bm25_leg import VARIANTS as RANK_BM25
from retrievers.legs.lexical.search import Impact
from retrievers.legs.lexical.settings import LexicalSettings
from retrievers.legs.protocol import Sections
from retrievers.servers.hits import as_batch, best_of
from retrievers.servers.legs.protocol import ServerLegKind, ServerOpening, Upload
from retrievers.servers.store import Record, Sparse
from retrievers.stores.arrays import read_npy
from retrievers.stores.hits import nothing_found

if TYPE_CHECKING:
    from retrievers.analysis.analyzer import Analyzer
    from retrievers.legs.lexical.kind import LocalLexical
    from retrievers.legs.lexical.search import LexicalSearch

    def _keeps_the_protocol(leg: ServerLexical) -> LexicalSearch:
        return leg


VOCABULARY, FREQUENCIES, FLOOR = "lexical/vocabulary.json", "lexical/frequencies.npy", "lexical/floor.npy"

NOWHERE = 2**31 - 1
"""A place that no term has: of documents without any term, as Milvus takes no empty vector (`sparse_row`)."""


class ServerLexicalKind(ServerLegKind):
    """See `ServerLegKind`."""

    name: ClassVar[str] = "lexical"

    def refusal(self, settings: Sections) -> str:
        bm25 = cast(LexicalSettings, settings.section("bm25"))
        if bm25.variant in RANK_BM25:
            return (
                f"index.bm25.variant: {bm25.variant} scores by counts, which no server keeps; choose lucene, robertson, "
                "atire, bm25l or bm25+"
            )
        if cast(AnalyzerSettings, settings.section("analyzer")).language == EACH:
            return f"index.analyzer.language: {EACH} keeps a leg for each language, and a server has one; name the language"
        return ""

    def upload(self, leg: LocalLexical) -> Upload:
        own = leg.in_one_language()
        weights = own.weights()
        starts, terms, values = weights.by_row(own.n_docs)

        def vectors(first: int, last: int) -> list[Sparse]:
            spans = [slice(int(starts[row]), int(starts[row + 1])) for row in range(first, last)]
            return [sparse_row(terms[span], values[span]) for span in spans]

        files = {
            VOCABULARY: lambda: json.dumps(own.vocabulary).encode(),
            FREQUENCIES: lambda: _npy(np.diff(weights.starts).astype(np.int32)),
        }
        floor = weights.floor
        if floor is not None:
            files[FLOOR] = lambda: _npy(np.asarray(floor))
        return Upload(vectors=vectors, files=files)

    def open(self, opening: ServerOpening) -> ServerLexical:
        return ServerLexical(opening)


class ServerLexical:
    """Searches the weights of a collection. The vocabulary is here: some 200 bytes of memory for each term.

    Safe to share between threads.
    """

    def __init__(self, opening: ServerOpening) -> None:
        self._opening = opening
        self.n_docs = opening.n

    @cached_property
    def analyzer(self) -> Analyzer:
        """Text -> terms, as the index was built."""
        from retrievers.analysis.analyzer import Analyzer

        return Analyzer.from_description(dict(self._opening.facts["analyzer"]))

    def __contains__(self, term: object) -> bool:
        return term in self._numbers

    def n_docs_of(self, term: str, *, where: Where | None = None) -> int:
        """How many documents might have the term: all."""
        return self.n_docs

    def document_frequency(self, term: str, *, where: Where | None = None) -> int:
        """How many documents have the term."""
        number = self._numbers.get(term)
        return 0 if number is None else int(self._frequencies[number])

    def warm_up(self) -> None:
        """Fetch the vocabulary."""
        _ = self._numbers, self.analyzer

    def release(self) -> None:
        """Nothing to let go of."""

    def search(
        self, queries: Sequence[Mapping[str, float]], *, k: int, where: Where | None = None, threads: int = 1
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """See `LexicalSearch.search`. A batch is one question to the server.

        Raises:
            ValueError: k below 1.
            SpecError: a weight of a query is below 0.
        """
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        opening, name = self._opening, ServerLexicalKind.name
        fields = opening.filter(where)
        vectors = [self._vector(query) for query in queries]
        asked = [number for number, vector in enumerate(vectors) if len(vector.places)]

        def ask(numbers: Sequence[int], depth: int) -> list[list[Record]]:
            chosen = [vectors[asked[number]] for number in numbers]
            return opening.store.heaviest(opening.collection, name, chosen, k=depth, where=fields)

        rows, scores = nothing_found(len(queries), k)
        if asked:
            rows[asked], scores[asked] = as_batch(best_of(len(asked), ask, k=k), k=k, nothing=0.0)
        if self._floor is not None:
            floors = np.array([self._floor_of(vector) for vector in vectors], dtype=np.float32)
            np.add(scores, floors[:, None], out=scores, where=rows >= 0)
        return rows, scores

    def scores(
        self, query: Mapping[str, float], rows: NDArray[np.integer[Any]], *, where: Where | None = None
    ) -> NDArray[np.float32]:
        """See `LexicalSearch.scores`. The rows are one question to the server."""
        asked, kept = self._vector(query), self._kept(rows.tolist())
        floor = 0.0 if self._floor is None else self._floor_of(asked)
        pairs = [*zip(asked.places.tolist(), asked.weights.tolist(), strict=True)]
        sums = [sum(weight * kept[row].get(place, 0.0) for place, weight in pairs) for row in rows.tolist()]
        return np.array(sums, dtype=np.float32) + np.float32(floor)

    def population(self, query: Mapping[str, float], *, where: Where | None = None) -> Population | None:
        """None: a server tells of the best, and not of all."""
        return None

    def impacts(self, query: Mapping[str, float], row: int, *, where: Where | None = None) -> list[Impact]:
        """What each term of a query adds to a row's score, for each time it is asked; those that add nothing are left out."""
        weights = self._kept([row])[row]
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

    def _kept(self, rows: Sequence[int]) -> dict[int, dict[int, float]]:
        """Row -> term number -> what it adds to that row's score."""
        name, opening = ServerLexicalKind.name, self._opening
        records = opening.store.get(opening.collection, list(rows), fields=[name]) if rows else []
        vectors: dict[int, Sparse] = {int(record.id): record.fields[name] for record in records}
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
        terms = json.loads(self._opening.file(VOCABULARY))
        return {term: number for number, term in enumerate(terms)}

    @cached_property
    def _frequencies(self) -> NDArray[np.int32]:
        return _array(self._opening.file(FREQUENCIES))

    @cached_property
    def _floor(self) -> NDArray[np.float32] | None:
        if self._opening.facts.get("variant") not in WITH_FLOOR:
            return None
        return _array(self._opening.file(FLOOR))


def sparse_row(places: NDArray[Any], weights: NDArray[Any]) -> Sparse:
    """The vector of a document, which is never empty."""
    if not len(places):
        return Sparse(np.array([NOWHERE]), np.ones(1, np.float32))
    return Sparse(places, weights)


def _npy(array: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def _array(data: bytes) -> NDArray[Any]:
    return read_npy(io.BytesIO(data))
