"""Maximal marginal relevance: values worked by hand, ends of the scale, and hits that the index does not know."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rag.core.types import Document, Query, Ranking, ScoredDocument
from rag.indexing import build_index
from ragline_recipes.mmr import MMRReranker, likeness, marginal_order
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings
from retrievers.legs.dense.retriever import DenseRetriever
from retrievers.legs.dense.settings import DenseSettings
from tests.tiny_models import tiny_sentence_model

RELEVANCE = np.array([0.9, 0.85, 0.5])


def vectors() -> np.ndarray:
    """Three unit vectors: the second's cosine with the first is .95, the third's .1."""
    first = np.array([1.0, 0.0, 0.0])
    second = np.array([0.95, np.sqrt(1 - 0.95**2), 0.0])
    third = np.array([0.1, 0.0, np.sqrt(1 - 0.1**2)])
    return np.stack([first, second, third]).astype(np.float32)


def alike() -> np.ndarray:
    """The cosines of these, as they are."""
    return (vectors() @ vectors().T).astype(np.float64)


def test_cosines_count_from_the_least_of_any_two() -> None:
    """Of .95, .1 and .095, the last is 0 and .95 is .855 / .905. Narrowed to .7 and above, they are the same."""
    found = likeness(vectors())
    assert found[0, 1] == pytest.approx(0.855 / 0.905, abs=1e-6)
    assert found[1, 2] == pytest.approx(0.0, abs=1e-6)
    assert found.diagonal() == pytest.approx(1.0, abs=1e-6)
    narrow = np.hstack([vectors() * np.sqrt(0.3), np.full((3, 1), np.sqrt(0.7))]).astype(np.float32)
    assert likeness(narrow) == pytest.approx(found, abs=1e-5)


def test_one_vector_equal_vectors_and_vectors_of_zeros() -> None:
    assert likeness(vectors()[:1]).shape == (1, 1)
    assert np.isfinite(likeness(np.stack([vectors()[0], vectors()[0]]))).all()
    with_none = np.vstack([vectors(), np.zeros((1, 3), np.float32)])
    assert likeness(with_none)[3].tolist() == [0.0] * 4
    assert likeness(with_none)[:3, :3] == pytest.approx(likeness(vectors()))


def test_the_order_is_that_worked_by_hand() -> None:
    """Once the first is taken, the second is worth .425 - .475 = -.05 and the third .25 - .05 = .20."""
    assert marginal_order(RELEVANCE, alike(), balance=0.5, k=3) == [0, 2, 1]
    assert marginal_order(RELEVANCE, alike(), balance=0.5, k=2) == [0, 2]
    assert marginal_order(RELEVANCE, alike(), balance=1.0, k=3) == [0, 1, 2]
    assert marginal_order(np.zeros(0), np.zeros((0, 0)), balance=0.5, k=3) == []


def test_what_repeats_a_hit_goes_last() -> None:
    same = np.stack([vectors()[0], vectors()[0], vectors()[2]])
    assert marginal_order(np.array([0.9, 0.9, 0.1]), likeness(same), balance=0.3, k=3) == [0, 2, 1]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalIndex]:
    folder = tmp_path_factory.mktemp("mmr")
    texts = {"a": "leave of days", "b": "leave of days", "c": "x y z 1 2 3 frames"}
    lines = [json.dumps({"_id": doc_id, "text": text}) for doc_id, text in texts.items()]
    (folder / "corpus.jsonl").write_text("\n".join(lines) + "\n")
    settings = IndexSettings(dense=DenseSettings(encoder=str(tiny_sentence_model(folder / "encoder"))))
    build_index([folder / "corpus.jsonl"], folder / "index", settings=settings, legs=("dense",))
    with LocalIndex.open(folder / "index") as opened:
        yield opened


def found(index: LocalIndex) -> Ranking:
    return DenseRetriever(index=index).retrieve([Query(qid="q", text="leave of days")], k=3)[0]


def test_of_two_files_that_say_the_same_one_makes_room(index: LocalIndex) -> None:
    ranking = found(index)
    assert ranking.doc_ids == ("a", "b", "c")
    made = MMRReranker(index=index, balance=0.0).rerank([ranking], k=3)[0]
    assert made.doc_ids == ("a", "c", "b")
    assert [hit.score for hit in made.hits] == [1.0, 1 / 2, 1 / 3]
    assert MMRReranker(index=index, balance=1.0).rerank([ranking], k=3)[0].doc_ids == ranking.doc_ids


def test_only_the_first_are_reordered(index: LocalIndex) -> None:
    made = MMRReranker(index=index, balance=0.0, depth=2).rerank([found(index)], k=3)[0]
    assert made.doc_ids[2] == found(index).doc_ids[2]


def test_hits_of_another_index_are_like_no_other(index: LocalIndex) -> None:
    hits = tuple(ScoredDocument(document=Document(doc_id=i, text="t"), score=s) for i, s in (("x", 2.0), ("y", 1.0)))
    made = MMRReranker(index=index).rerank([Ranking(query=Query(qid="q", text="?"), hits=hits)], k=2)[0]
    assert made.doc_ids == ("x", "y")


def test_a_graph_with_it_asks_for_the_dense_leg(index: LocalIndex, tmp_path: Path) -> None:
    from rag.pipeline import load_pipeline

    spec = {
        "version": 1,
        "nodes": {
            "found": {"use": "retrieve.dense", "k": 3},
            "spread": {"use": "rerank.mmr", "in": "found", "k": 2, "with": {"balance": 0.2}},
        },
        "output": "spread",
    }
    with load_pipeline(spec, index=index) as pipeline:
        assert len(pipeline.search("leave of days").hits) == 2


@pytest.mark.parametrize(("given", "why"), [({"balance": 1.5}, "balance must be from 0 to 1"), ({"depth": 0}, "depth")])
def test_what_makes_no_sense_is_refused(index: LocalIndex, given: dict[str, float], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        MMRReranker(index=index, **given)  # type: ignore[arg-type]
