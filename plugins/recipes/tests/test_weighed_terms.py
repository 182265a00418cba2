"""VDR's beta search: words are searched, and hits weighed by the model, beside a second implementation of its card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from plugins.recipes.tests.test_vdr import KEPT, by_card, settings_of, tiny_vdr
from rag import build_index, load_pipeline
from rag.indexes import IndexSettings, LocalIndex
from rag.types import Query, Ranking
from ragline_recipes.weighed_terms import WeighedTermsReranker
from retrievers import RETRIEVERS

TEXTS = {
    "d0": "frames of steel tubes",
    "d1": "steel days",
    "d2": "leave of thirty days, 30 days",
    "d3": "days of steel and steel tubes",
    "d4": "a b c z",
}
QUESTION = "steel days"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_vdr(tmp_path_factory.mktemp("model") / "vdr")


@pytest.fixture(scope="module")
def index(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of words alone: no model reads the documents."""
    place = tmp_path_factory.mktemp("index")
    corpus = place / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"_id": doc_id, "text": text}) + "\n" for doc_id, text in TEXTS.items()))
    settings = IndexSettings(sparse=settings_of(folder, documents="words"))
    build_index([corpus], place / "index", settings=settings, legs=("sparse",))
    return place / "index"


def wanted(folder: Path) -> Mapping[str, float]:
    """Each document's score by the card: inner products of what both encoders give."""
    query = by_card(folder, "encoder_q", QUESTION, keep=KEPT)
    rows = {doc_id: by_card(folder, "encoder_p", text, keep=KEPT) for doc_id, text in TEXTS.items()}
    return {doc_id: sum(query.get(term, 0.0) * weight for term, weight in row.items()) for doc_id, row in rows.items()}


def scores(ranking: Ranking) -> dict[str, float]:
    return {hit.doc_id: hit.score for hit in ranking.hits}


def test_hits_of_words_get_the_scores_of_the_card(folder: Path, index: Path) -> None:
    expected = wanted(folder)
    with LocalIndex.open(index) as opened:
        found = RETRIEVERS.get("sparse")(index=opened).retrieve([Query(qid="q", text=QUESTION)], k=9)
        [reranked] = WeighedTermsReranker(index=opened).rerank(found, k=9)
    assert 2 < len(found[0].hits) == len(reranked.hits)
    assert scores(reranked) == pytest.approx({doc_id: expected[doc_id] for doc_id in found[0].doc_ids}, rel=1e-5)
    assert list(reranked.doc_ids) == sorted(reranked.doc_ids, key=lambda doc_id: -expected[doc_id])
    assert list(reranked.doc_ids) != list(found[0].doc_ids), "or the order says nothing"


def test_what_is_not_read_follows(folder: Path, index: Path) -> None:
    expected = wanted(folder)
    with LocalIndex.open(index) as opened:
        found = RETRIEVERS.get("sparse")(index=opened).retrieve([Query(qid="q", text=QUESTION)], k=9)
        [reranked] = WeighedTermsReranker(index=opened, depth=2).rerank(found, k=9)
        first, rest = found[0].doc_ids[:2], found[0].doc_ids[2:]
        assert list(reranked.doc_ids[:2]) == sorted(first, key=lambda doc_id: -expected[doc_id])
        assert reranked.doc_ids[2:] == rest
        with pytest.raises(ValueError, match="depth"):
            WeighedTermsReranker(index=opened, depth=0)


def test_the_graph_searches_words_and_weighs_its_hits(folder: Path, index: Path) -> None:
    from rag.graphs import load_spec

    spec = load_spec("vdr-beta").graph
    settings = spec.index.model_copy(update={"sparse": settings_of(folder, documents="words")})
    with (
        LocalIndex.open(index) as opened,
        load_pipeline(spec.model_copy(update={"index": settings}), index=opened) as p,
    ):
        found = p.search(Query(qid="q", text=QUESTION))
    expected = wanted(folder)
    assert scores(found) == pytest.approx({doc_id: expected[doc_id] for doc_id in found.doc_ids}, rel=1e-5)


def test_an_index_of_the_models_weights_scores_the_same(folder: Path, index: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"_id": doc_id, "text": text}) + "\n" for doc_id, text in TEXTS.items()))
    build_index([corpus], tmp_path / "index", settings=IndexSettings(sparse=settings_of(folder)), legs=("sparse",))
    asked = [Query(qid="q", text=QUESTION)]
    with LocalIndex.open(index) as words, LocalIndex.open(tmp_path / "index") as weighed:
        [beta] = WeighedTermsReranker(index=words).rerank(
            RETRIEVERS.get("sparse")(index=words).retrieve(asked, k=9), k=9
        )
        [whole] = RETRIEVERS.get("sparse")(index=weighed).retrieve(asked, k=9)
    assert {doc_id: scores(whole)[doc_id] for doc_id in beta.doc_ids} == pytest.approx(scores(beta), rel=1e-5)
