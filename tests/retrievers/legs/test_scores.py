"""Scores of any document and what scores come to over all of them, on every leg that can tell, however it is built."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag.core.access import read_asker
from rag.core.filters import asked_by
from rag.core.protocols import ScoresDocuments
from rag.core.types import Population, Query
from rag.indexing import add_documents, build_index, remove_from_index
from rag.ranking import completed
from retrievers.index.directory import LocalIndex
from retrievers.index.joined import joined_address
from retrievers.index.opening import open_index
from retrievers.index.settings import IndexSettings
from retrievers.legs.dense.retriever import DenseRetriever
from retrievers.legs.lexical.retriever import BM25Retriever
from tests.rag.labels import random_label, reads
from tests.retrievers.legs.test_every_leg import built, random_texts, ranked, write
from tests.small_legs import SmallModels, Way, ways

N_DOCS = 40
TEXT = "paid leave of a lost laptop frame"
ANN = {"user": "ann", "tenant": "north", "groups": ["docs"]}


@pytest.fixture(scope="module", params=[way for way in ways() if way.leg != "promptreps"], ids=str)
def way(request: pytest.FixtureRequest) -> Way:
    made: Way = request.param
    if made.name == "colbert":
        pytest.importorskip("sentence_transformers")
    return made


@pytest.fixture(scope="module")
def labels() -> dict[str, dict[str, Any]]:
    source = random.Random(3)
    return {f"d{number:02d}": random_label(source) for number in range(N_DOCS)}


@pytest.fixture(scope="module")
def places(
    way: Way, labels: dict[str, Any], small_models: SmallModels, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("scores")
    (folder / "labels.jsonl").write_text("".join(json.dumps({"_id": i, **label}) + "\n" for i, label in labels.items()))
    corpus = write(folder, random_texts(N_DOCS), {f"d{n:02d}": {"n": n} for n in range(N_DOCS)})
    built(way, small_models, corpus, folder / "open")
    built(way, small_models, corpus, folder / "labelled", labels=folder / "labels.jsonl")
    return folder


@pytest.fixture(scope="module")
def index(places: Path) -> Iterator[LocalIndex]:
    with LocalIndex.open(places / "open") as opened:
        yield opened


def all_scores(retriever: Any, index: LocalIndex, where: Any = None) -> tuple[dict[str, float], Population]:
    """Of every document of the index, and what they come to."""
    ids, query = [document.doc_id for document in index.documents], Query(qid="q", text=TEXT, where=where)
    [scores], [population] = retriever.scores([query], [ids]), retriever.populations([query])
    assert population is not None
    return dict(zip(ids, scores, strict=True)), population


def require_told(population: Population, scores: list[float]) -> None:
    assert population.n == len(scores)
    assert population.mean == pytest.approx(np.mean(scores), rel=1e-5, abs=1e-6)
    assert population.deviation == pytest.approx(np.std(scores), rel=1e-4, abs=1e-5)


def test_a_score_that_is_asked_for_is_that_of_the_search(way: Way, index: LocalIndex) -> None:
    for name, retriever in way.retrievers(index).items():
        assert isinstance(retriever, ScoresDocuments), name
        found, (scores, _) = ranked(retriever), all_scores(retriever, index)
        assert len(found) > 5, name
        exactly = way.leg == "lexical"
        for doc_id, score in found:
            assert scores[doc_id] == (score if exactly else pytest.approx(score, rel=1e-5, abs=1e-6)), name
        least = min(score for _, score in found)
        assert all(score <= least for doc_id, score in scores.items() if doc_id not in dict(found)), name


def test_the_population_is_that_of_all_documents(way: Way, index: LocalIndex) -> None:
    for retriever in way.retrievers(index).values():
        scores, population = all_scores(retriever, index)
        require_told(population, [*scores.values()])


def test_a_filter_changes_no_population(way: Way, index: LocalIndex) -> None:
    for retriever in way.retrievers(index).values():
        assert all_scores(retriever, index, "n > 30")[1] == all_scores(retriever, index)[1]


def test_who_asks_has_the_population_of_what_they_may_read(way: Way, places: Path, labels: dict[str, Any]) -> None:
    readable = {i for i, label in labels.items() if reads(ANN, label)}
    assert 5 < len(readable) < N_DOCS - 5
    with LocalIndex.open(places / "labelled") as labelled:
        for retriever in way.retrievers(labelled).values():
            scores, population = all_scores(retriever, labelled, asked_by(read_asker(ANN)))
            require_told(population, [score for i, score in scores.items() if i in readable])


def test_a_document_of_another_index_is_refused(way: Way, index: LocalIndex) -> None:
    for retriever in way.retrievers(index).values():
        with pytest.raises(KeyError):
            retriever.scores([Query(qid="q", text=TEXT)], [["strange"]])


def test_nothing_asked_is_nothing_told(way: Way, index: LocalIndex) -> None:
    for retriever in way.retrievers(index).values():
        assert retriever.scores([], []) == retriever.populations([]) == []
        assert retriever.scores([Query(qid="q", text=TEXT)], [[]]) == [[]]


# --- parts, merges, several indexes, questions without words ---


def two(place: Path | str) -> tuple[Any, dict[str, Any]]:
    index = open_index(place)
    return index, {"bm25": BM25Retriever(index=index), "dense": DenseRetriever(index=index)}


@pytest.fixture
def settings(small_models: SmallModels) -> IndexSettings:
    return IndexSettings.model_validate(Way(leg="dense", name="static").section(small_models))


def of_all(place: Path | str) -> dict[str, tuple[Any, Population]]:
    index, retrievers = two(place)
    with index:
        return {name: all_scores(retriever, index) for name, retriever in retrievers.items()}


@pytest.mark.parametrize("structure", ["hnsw", "rabitq", "ivf_pq"])
def test_however_vectors_are_laid_out(tmp_path: Path, small_models: SmallModels, structure: str) -> None:
    section = {"dense": {"encoder": str(small_models.static), "structure": structure}}
    settings, corpus = IndexSettings.model_validate(section), write(tmp_path, random_texts(N_DOCS))
    build_index([corpus], tmp_path / "index", settings=settings, legs=("dense",))
    with LocalIndex.open(tmp_path / "index") as index:
        retriever = DenseRetriever(index=index)
        scores, population = all_scores(retriever, index)
        require_told(population, [*scores.values()])
        assert dict(ranked(retriever)) == {
            i: pytest.approx(scores[i], rel=1e-5, abs=1e-6) for i, _ in ranked(retriever)
        }


@pytest.mark.parametrize("kept", [4096, 1])
def test_parts_that_lost_rows_tell_what_one_build_tells(
    tmp_path: Path, settings: IndexSettings, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrievers.legs.dense.leg.LEAST_KEPT", kept)  # 1: also legs as small as these keep their sums
    texts, legs = random_texts(N_DOCS), ("lexical", "dense")
    first = {i: text for i, text in texts.items() if i < "d20"}
    build_index([write(tmp_path / "a", first)], tmp_path / "parts", settings=settings, legs=legs)
    add_documents([{"id": i, "text": text} for i, text in texts.items() if i >= "d20"], tmp_path / "parts")
    remove_from_index([f"d{n:02d}" for n in (*range(13), 25)], tmp_path / "parts")
    left = {i: text for i, text in texts.items() if i >= "d13" and i != "d25"}
    build_index([write(tmp_path / "c", left)], tmp_path / "whole", settings=settings, legs=legs)
    assert of_all(tmp_path / "parts") == of_all(tmp_path / "whole")
    assert bool(list((tmp_path / "whole").rglob("moments.npy"))) == (kept == 1)


def test_several_indexes_tell_of_all_their_documents(tmp_path: Path, settings: IndexSettings) -> None:
    texts, places = random_texts(N_DOCS), [tmp_path / "one", tmp_path / "two"]
    for place, some in zip(places, ({i: t for i, t in texts.items() if i < "d15"}, texts), strict=True):
        build_index(
            [write(tmp_path / f"{place.name}-texts", some)], place, settings=settings, legs=("lexical", "dense")
        )
    for scores, population in of_all(joined_address(places)).values():
        assert len(scores) == 15 + N_DOCS
        require_told(population, [*scores.values()])


def test_completed_lists_score_each_what_the_other_found(tmp_path: Path, settings: IndexSettings) -> None:
    build_index([write(tmp_path, random_texts(N_DOCS))], tmp_path / "i", settings=settings, legs=("lexical", "dense"))
    index, retrievers = two(tmp_path / "i")
    queries = [Query(qid="q1", text=TEXT), Query(qid="q2", text="nowhere"), Query(qid="q3", text=" ")]
    with index:
        lists = [ranking for each in retrievers.values() for ranking in each.retrieve(queries, k=3)]
        whole = completed(lists, retrievers)
        every = {name: all_scores(each, index)[0] for name, each in retrievers.items()}
    words, vectors = whole[:3], whole[3:]
    assert [(r.source, r.qid, r.hits) for r in whole] == [(r.source, r.qid, r.hits) for r in lists]
    assert words[0].other_scores == {i: every["bm25"][i] for i in vectors[0].doc_ids if i not in words[0].doc_ids}
    assert vectors[0].other_scores == {i: every["dense"][i] for i in words[0].doc_ids if i not in vectors[0].doc_ids}
    assert words[1].hits == ()
    assert set(words[1].other_scores.values()) == {0.0}  # no document has the word
    assert words[1].population == Population(n=N_DOCS, mean=0.0, deviation=0.0)
    assert vectors[2].population is None  # there is nothing to encode
