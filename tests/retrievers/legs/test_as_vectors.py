"""A leg that was sent as vectors answers as the one in the directory: here they are kept in memory, and all of them compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.core.errors import SpecError
from rag.core.types import Where
from rag.indexing import build_index
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings, leg_kind
from retrievers.legs import LEGS
from retrievers.legs.protocol import AsVectors, LegVectors, Sparse, VectorsElsewhere
from tests.small_legs import SmallModels

TEXTS = ["a wheel and a fork", "thirty days of paid leave", "a lost laptop", "a frame and a fork", "..."]
ABLE = ("lexical", "dense", "sparse")


class InMemory(VectorsElsewhere):
    """What was sent, and the filters of the index that it was sent of."""

    def __init__(self, sent: LegVectors, index: LocalIndex) -> None:
        self._vectors, self._index = sent.between(0, len(index)), index
        self._files = {name: made() for name, made in sent.files.items()}

    def __len__(self) -> int:
        return len(self._vectors)

    def nearest(self, queries: NDArray[np.float32], *, k: int, where: Where | None, exact: bool) -> Any:
        rows = self._index.rows(where)
        return [_best(rows, (np.array(self._vectors)[rows] @ query).astype(np.float64), k) for query in queries]

    def heaviest(self, queries: Sequence[Sparse], *, k: int, where: Where | None) -> Any:
        rows = self._index.rows(where)
        scores = [np.array([_product(query, self._vectors[row]) for row in rows]) for query in queries]
        return [_best(rows[each > 0], each[each > 0], k) for each in scores]

    def vectors(self, rows: Sequence[int]) -> Mapping[int, Any]:
        return {row: self._vectors[row] for row in rows}

    def vector(self, row: int) -> Any:
        return self._vectors[row]

    def file(self, name: str) -> bytes:
        return self._files[name]

    def has_file(self, name: str) -> bool:
        return name in self._files


def _product(query: Sparse, vector: Sparse) -> float:
    weights = dict(zip(query.places.tolist(), query.weights.tolist(), strict=True))
    pairs = zip(vector.places.tolist(), vector.weights.tolist(), strict=True)
    return float(sum(weights.get(place, 0.0) * weight for place, weight in pairs))


def _best(rows: NDArray[np.int64], scores: NDArray[np.float64], k: int) -> Any:
    order = np.lexsort((rows, -scores))[:k]
    return rows[order], scores[order]


@pytest.fixture(scope="module")
def index(small_models: SmallModels, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalIndex]:
    folder = tmp_path_factory.mktemp("texts")
    for number, text in enumerate(TEXTS):
        (folder / f"{number}.md").write_text(text)
    sections = {
        "dense": {"encoder": str(small_models.sentences), "compute": "float32"},
        "sparse": {"model": str(small_models.masked), "dtype": "float32"},
        "bm25": {"variant": "bm25+"},
    }
    place = folder.with_name("index")
    build_index(folder, place, settings=IndexSettings.model_validate(sections), legs=ABLE)
    with LocalIndex.open(place) as opened:
        yield opened


def elsewhere(index: LocalIndex, leg: str) -> Any:
    kind = leg_kind(leg)
    assert isinstance(kind, AsVectors)
    return kind.open_elsewhere(InMemory(kind.as_vectors(index.leg(leg)), index), index.facts(leg))


def test_these_legs_can_be_sent() -> None:
    assert {leg for leg in LEGS if isinstance(leg_kind(leg), AsVectors)} == set(ABLE)


def test_words_are_found_counted_and_explained_alike(index: LocalIndex) -> None:
    here, there = index.leg("lexical"), elsewhere(index, "lexical")
    terms = [*here.analyzer.terms("fork wheel paid"), "nothing"]
    queries: list[dict[str, float]] = [dict.fromkeys(terms, 1.0), {"nothing": 1.0}, {}]
    for k in (2, 9):
        one, other = here.search(queries, k=k), there.search(queries, k=k)
        assert one[0].tolist() == other[0].tolist()
        assert np.allclose(one[1], other[1])
    rows = np.arange(len(index))
    assert np.allclose(here.scores(queries[0], rows), there.scores(queries[0], rows))
    for term in terms:
        assert (term in here, here.document_frequency(term)) == (term in there, there.document_frequency(term))
    for row in rows.tolist():
        assert [each.term for each in there.impacts(queries[0], row)] == [
            each.term for each in here.impacts(queries[0], row)
        ]
    assert there.population(queries[0]) is None
    with pytest.raises(SpecError, match="weights of terms must be above 0"):
        there.search([{terms[0]: -1.0}], k=1)


def test_vectors_are_found_alike(index: LocalIndex) -> None:
    here, there = index.leg("dense"), elsewhere(index, "dense")
    rows = np.arange(len(index))
    queries = here.encoder.encode(["a fork", "leave"], role="query")
    one, other = here.search(queries, k=9), there.search(queries, k=9)
    assert one[0].tolist() == other[0].tolist()
    assert np.allclose(one[1], other[1])
    assert np.array_equal(here.vectors(rows), there.vectors(rows))
    assert np.array_equal(here.vectors(rows[1:2]), there.vectors(rows[1:2]))
    assert np.allclose(here.scores(queries[0], rows), there.scores(queries[0], rows))
    assert here.population(queries[0]).mean == pytest.approx(there.population(queries[0]).mean)


def test_weighed_terms_are_found_alike(index: LocalIndex) -> None:
    here, there = index.leg("sparse"), elsewhere(index, "sparse")
    [query] = here.weigh(["a fork"], by="model")
    one, other = here.search(query, k=9), there.search(query, k=9)
    assert one[0].tolist() == other[0].tolist()
    assert np.allclose(one[1], other[1])
    rows = np.arange(len(index))
    assert np.allclose(here.scores(query, rows), there.scores(query, rows))
    assert here.parts(query, 0) == there.parts(query, 0)
    assert [len(each) for each in there.search({}, k=3)] == [0, 0]


@pytest.mark.parametrize(
    ("leg", "section", "said"),
    [
        ("lexical", {"bm25": {"variant": "okapi"}}, "okapi scores by counts"),
        ("lexical", {"analyzer": {"language": "each"}}, "each keeps a leg for each language"),
        ("dense", {"dense": {"structure": "auto"}}, "on a server choose flat or hnsw"),
        ("dense", {"dense": {"structure": "rabitq"}}, "rabitq is made here"),
        ("dense", {"dense": {"storage": "int8"}}, "int8 is made here"),
        ("sparse", {}, ""),
    ],
)
def test_what_cannot_be_sent_is_said(leg: str, section: dict[str, Any], said: str) -> None:
    kind = leg_kind(leg)
    assert isinstance(kind, AsVectors)
    assert said in kind.why_no_vectors(IndexSettings.model_validate(section))


def test_files_of_an_index_that_are_no_documents_and_no_leg(index: LocalIndex, tmp_path: Path) -> None:
    assert {"manifest.json", "sources.json", "roots.json"} <= index.beside().keys()
