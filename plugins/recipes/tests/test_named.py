"""The index of names: what is a name, what is kept, and which passages a type finds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag import build_index
from rag.indexes import IndexSettings, LocalIndex, SentenceEncoder
from rag.types import Query
from rag.writing import picked_of
from ragline_recipes.named.names import names_of
from ragline_recipes.named.retriever import NamedRetriever
from tests.tiny_models import tiny_sentence_model

TEXTS = {
    "a": {"text": "we saw the Aurora leave at noon.", "year": 2019},
    "b": {"text": "rain fell on Bergen and on the Aurora.", "year": 2020},
    "c": {"text": "nothing was seen."},
    "d": {"title": "Nimrod", "text": "it sank off Bergen."},
}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("met Ada Lovelace, then Charles Babbage", ["Ada Lovelace", "Charles Babbage"]),
        ("Ada  Lovelace", ["Ada", "Lovelace"]),
        ("in Łódź with O'Neill and AT&T", ["Łódź", "O'Neill", "AT&T"]),
        ("Ada met Ada", ["Ada"]),
        ("I saw 3 ships, 2nd to none", []),
        ("All Of This Is A Headline In Capitals", ["All Of This Is A Headline", "In Capitals"]),
        ("电影 в Москве", ["Москве"]),
        ("", []),
    ],
)
def test_names_are_runs_of_capitals(text: str, names: list[str]) -> None:
    assert names_of(text) == names


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_sentence_model(tmp_path_factory.mktemp("encoder") / "tiny")


@pytest.fixture(scope="module")
def index(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalIndex]:
    folder = tmp_path_factory.mktemp("named")
    corpus = folder / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"_id": name, **each}) + "\n" for name, each in TEXTS.items()))
    settings = IndexSettings.model_validate({"named": {"encoder": str(encoder)}})
    build_index([corpus], folder / "index", settings=settings, legs=("named",))
    with LocalIndex.open(folder / "index") as opened:
        yield opened


def cosines(encoder: Path, asked: str, names: list[str]) -> dict[str, float]:
    """By a second way: the encoder alone."""
    made = SentenceEncoder(model=str(encoder))
    [query] = made.encode([asked], role="query")
    return dict(zip(names, (made.encode(names, role="document") @ query).tolist(), strict=True))


def found(index: LocalIndex, text: str, *, k: int = 10, **params: Any) -> list[tuple[str, float, list[str]]]:
    [ranking] = NamedRetriever(index=index, **params).retrieve([Query(qid="q", text=text)], k=k)
    return [(hit.doc_id, hit.score, [str(span["text"]) for span in picked_of(hit.document)]) for hit in ranking.hits]


def test_a_passage_is_as_near_as_the_nearest_of_its_names(index: LocalIndex, encoder: Path) -> None:
    near = cosines(encoder, "ship: vessels", ["Aurora", "Bergen", "Nimrod"])
    told = {"a": ["Aurora"], "b": ["Aurora", "Bergen"], "d": ["Nimrod", "Bergen"]}
    expected = {doc_id: max(names, key=near.__getitem__) for doc_id, names in told.items()}
    hits = found(index, "ship: vessels")
    assert {doc_id: score for doc_id, score, _ in hits} == pytest.approx(
        {doc_id: near[name] for doc_id, name in expected.items()}, abs=1e-5
    )
    assert [score for _, score, _ in hits] == sorted((score for _, score, _ in hits), reverse=True)
    in_text = {doc_id: [name] if name in TEXTS[doc_id]["text"] else [] for doc_id, name in expected.items()}  # type: ignore[operator]
    assert {doc_id: names for doc_id, _, names in hits} == in_text, "the name is marked where the text has it"


def test_the_cut_and_the_filter(index: LocalIndex) -> None:
    every = [doc_id for doc_id, _, _ in found(index, "ship")]
    assert [doc_id for doc_id, _, _ in found(index, "ship", k=1)] == every[:1]
    assert [doc_id for doc_id, _, _ in found(index, "ship", where={"year": 2020})] == ["b"]


def test_a_query_without_words_finds_nothing_and_says_so(index: LocalIndex) -> None:
    [ranking] = NamedRetriever(index=index).retrieve([Query(qid="q", text=" ")], k=3)
    assert (ranking.hits, ranking.outcome.kind) == ((), "empty")


def test_scores_of_given_documents_and_what_they_are_held_against(index: LocalIndex, encoder: Path) -> None:
    retriever, query = NamedRetriever(index=index), Query(qid="q", text="ship")
    hits = {doc_id: score for doc_id, score, _ in found(index, "ship")}
    [population] = retriever.populations([query])
    assert population is not None
    assert population.n == 3
    assert population.mean == pytest.approx(np.mean([*hits.values()]), abs=1e-6)
    [scores] = retriever.scores([query], [["c", "a"]])
    assert scores == pytest.approx([population.mean, hits["a"]], abs=1e-6), "one without a name has the mean"


def test_a_name_is_read_once_however_often_it_stands(index: LocalIndex) -> None:
    facts = index.manifest.legs["named"]
    assert (facts["n_names"], facts["n_places"], facts["rows"]) == (3, 5, 4)
