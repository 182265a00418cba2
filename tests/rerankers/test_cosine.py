"""Reranking by a second encoder: both scores, what is read, and when nothing is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from rag.core.types import Document, Query, Ranking, ScoredDocument
from rag.indexing import build_index
from rerankers.cosine import CosineReranker
from retrievers.encoders.sentence_encoder import SentenceEncoder
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings
from tests.tiny_models import tiny_sentence_model

TEXTS = ("a lost laptop", "thirty days of leave", "the wheel of a train", "leave in the summer")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_sentence_model(tmp_path_factory.mktemp("model")))


def found(*scores: float, text: str = "days of leave") -> Ranking:
    hits = (
        ScoredDocument(document=Document(doc_id=f"d{place}", text=words), score=score)
        for place, (words, score) in enumerate(zip(TEXTS, scores, strict=True))
    )
    return Ranking(query=Query(qid="1", text=text), hits=tuple(hits), source="bm25")


def by_hand(model: str, ranking: Ranking, *, depth: int, weight: float) -> list[str]:
    """The order as it is worked out from the vectors of the encoder itself."""
    encoder = SentenceEncoder(model=model)
    [query] = encoder.encode([ranking.query.text], role="query")
    read = ranking.hits[:depth]
    close = encoder.encode([hit.document.text for hit in read], role="document") @ query
    first = np.array([hit.score for hit in read])
    mixed = (1 - weight) * (close - close.mean()) / close.std() + weight * (first - first.mean()) / first.std()
    return [read[place].doc_id for place in np.argsort(-mixed)] + [hit.doc_id for hit in ranking.hits[depth:]]


@pytest.mark.parametrize(("depth", "weight"), [(4, 0.5), (3, 0.5), (4, 0.2), (2, 0.9)])
def test_the_order_is_of_both_scores_and_what_is_not_read_follows(model: str, depth: int, weight: float) -> None:
    ranking = found(9.0, 8.5, 3.0, 1.0)
    reranker = CosineReranker(model=model, depth=depth, first_stage_weight=weight)
    [reranked] = reranker.rerank([ranking], k=4)
    assert list(reranked.doc_ids) == by_hand(model, ranking, depth=depth, weight=weight)
    scores = [hit.score for hit in reranked.hits]
    assert scores == sorted(scores, reverse=True)
    assert reranked.usage.seconds > 0
    assert list(reranker.rerank([ranking], k=2)[0].doc_ids) == list(reranked.doc_ids[:2])


def test_equal_first_scores_leave_the_order_to_the_encoder(model: str) -> None:
    ranking = found(0.0, 0.0, 0.0, 0.0)
    [alone] = CosineReranker(model=model, first_stage_weight=0).rerank([ranking], k=4)
    assert CosineReranker(model=model).rerank([ranking], k=4)[0].doc_ids == alone.doc_ids


def test_a_document_is_read_once_for_all_questions(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    encode = SentenceEncoder.encode

    def seen(self: SentenceEncoder, texts: Sequence[str], *, role: str) -> object:
        read.extend(texts if role == "document" else [])
        return encode(self, texts, role=role)  # type: ignore[arg-type]

    monkeypatch.setattr(SentenceEncoder, "encode", seen)
    reranker = CosineReranker(model=model)
    first = reranker.rerank([found(4.0, 3.0, 2.0, 1.0), found(1.0, 2.0, 3.0, 4.0, text="a train")], k=4)
    again = reranker.rerank([found(4.0, 3.0, 2.0, 1.0)], k=4)
    assert sorted(read) == sorted(TEXTS)
    assert again[0].hits == first[0].hits


def test_an_index_that_was_searched_by_the_same_encoder_is_not_read_again(model: str, tmp_path: Path) -> None:
    corpus = tmp_path / "texts.txt"
    corpus.write_text("Thirty days of leave.", encoding="utf-8")
    settings = IndexSettings.model_validate({"dense": {"encoder": model}})
    build_index([corpus], tmp_path / "index", settings=settings, legs=("lexical", "dense"))
    ranking = found(9.0, 8.5, 3.0, 1.0)
    with LocalIndex.open(tmp_path / "index") as index:
        same = CosineReranker(index=index, model=model)
        assert same.rerank([ranking], k=3)[0].hits == ranking.hits[:3]
        assert (same.model_names, same.memory()) == ((), [])
        other = CosineReranker(index=index, model="multilingual-e5-small")
        assert other.model_names == (("multilingual-e5-small", None),)


def test_nothing_found_stays_nothing(model: str) -> None:
    nothing = Ranking(query=Query(qid="1", text="days"), source="bm25")
    assert CosineReranker(model=model).rerank([nothing], k=3)[0].hits == ()


def test_a_share_is_from_0_to_1(model: str) -> None:
    with pytest.raises(ValueError, match=r"rerank\.cosine: first_stage_weight"):
        CosineReranker(model=model, first_stage_weight=1.5)
