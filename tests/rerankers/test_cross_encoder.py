"""On random weights: what is tested is the reading, not how good a trained checkpoint is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rag.core.errors import MissingModel, SpecError
from rag.core.types import Document, Query, Ranking, ScoredDocument
from rerankers.cross_encoder import CrossEncoderReranker
from tests.rerankers.tiny_classifier import tiny_classifier

TEXTS = ["a b c", "d e f g h i j k l m n", "c c", "", "a b c [SEP] d [CLS]", "z y x w v u " * 40]


def given(query: str = "a b", texts: list[str] = TEXTS) -> Ranking:
    hits = tuple(
        ScoredDocument(document=Document(doc_id=f"d{i}", text=t), score=-float(i)) for i, t in enumerate(texts)
    )
    return Ranking(query=Query(qid="q", text=query), hits=hits)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_classifier(tmp_path_factory.mktemp("one") / "model")


def plain_scores(folder: Path, ranking: Ranking) -> dict[str, float]:
    """One pair at a time, without padding, through transformers alone."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer, kind = AutoTokenizer.from_pretrained(folder), AutoModelForSequenceClassification
    model: Any = kind.from_pretrained(folder, dtype=torch.float32)
    found = {}
    for hit in ranking.hits:
        pair = tokenizer(
            ranking.query.text, hit.document.text, truncation=True, max_length=64, return_tensors="pt",
            split_special_tokens=True,
        )  # fmt: skip
        with torch.inference_mode():
            logits = model.eval()(**pair).logits[0]
        found[hit.doc_id] = float(logits[0] if len(logits) == 1 else logits.softmax(-1).logit()[1])
    return found


@pytest.mark.parametrize("labels", [1, 2])
@pytest.mark.parametrize("max_batch_tokens", [1, 40, 8192])
def test_batches_give_what_each_pair_gives_alone(tmp_path: Path, labels: int, max_batch_tokens: int) -> None:
    folder = tiny_classifier(tmp_path / "model", labels=labels)
    reranker = CrossEncoderReranker(model=str(folder), device="cpu", max_batch_tokens=max_batch_tokens)
    [found] = reranker.rerank([given()], k=9)
    expected = plain_scores(folder, given())
    assert {hit.doc_id: hit.score for hit in found.hits} == pytest.approx(expected, abs=1e-4)
    assert list(found.doc_ids) == sorted(expected, key=lambda doc_id: -expected[doc_id])
    assert len(set(expected.values())) == len(TEXTS)


def test_the_first_stage_is_added_standardised(folder: Path) -> None:
    """Five hits of 5 to 1 have a mean of 3 and a deviation of the root of 2; the sixth is not reranked."""
    ranking = given()
    hits = tuple(replace(hit, score=5.0 - place) for place, hit in enumerate(ranking.hits))
    ranking = replace(ranking, hits=hits)
    [found] = CrossEncoderReranker(model=str(folder), device="cpu", depth=5, first_stage=10.0).rerank([ranking], k=9)
    alone = plain_scores(folder, ranking)
    expected = {f"d{place}": alone[f"d{place}"] + 10 * (2 - place) / 2**0.5 for place in range(5)}
    assert {hit.doc_id: hit.score for hit in found.hits[:5]} == pytest.approx(expected, abs=1e-4)
    assert found.doc_ids[5] == "d5"
    with pytest.raises(ValueError, match="first_stage must be 0 or a number above, got -1"):
        CrossEncoderReranker(model=str(folder), first_stage=-1)


def test_equal_scores_of_the_first_stage_add_nothing(folder: Path) -> None:
    ranking = given()
    ranking = replace(ranking, hits=tuple(replace(hit, score=4.0) for hit in ranking.hits))
    [mixed] = CrossEncoderReranker(model=str(folder), device="cpu", first_stage=1.0).rerank([ranking], k=9)
    assert {hit.doc_id: hit.score for hit in mixed.hits} == pytest.approx(plain_scores(folder, ranking), abs=1e-4)


def test_the_bill_counts_pairs_and_their_tokens(folder: Path) -> None:
    [found] = CrossEncoderReranker(model=str(folder), device="cpu").rerank([given(texts=["a b c", "d"])], k=2)
    assert (found.usage.calls, found.usage.prompt_tokens) == (2, (3 + 2 + 3) + (3 + 2 + 1))
    assert found.outcome.kind == "ok"


def test_a_query_longer_than_the_model_leaves_room_for_the_passage(folder: Path) -> None:
    [found] = CrossEncoderReranker(model=str(folder), device="cpu").rerank([given(query="q " * 500)], k=9)
    assert len(found.hits) == len(TEXTS)
    assert found.usage.prompt_tokens <= 64 * len(TEXTS)


def test_all_rankings_are_batched_and_short_ones_are_no_trouble(folder: Path) -> None:
    reranker = CrossEncoderReranker(model=str(folder), device="cpu", depth=2)
    found = reranker.rerank([given(), given(texts=[]), given(texts=["a"])], k=3)
    assert [len(r.hits) for r in found] == [3, 0, 1]
    assert found[0].doc_ids[2] == "d2"
    assert found[0].hits[2].score < found[0].hits[1].score
    assert reranker.rerank([], k=3) == []


def test_nothing_loads_before_the_first_call(tmp_path: Path) -> None:
    reranker = CrossEncoderReranker(model=str(tmp_path / "nowhere"))
    assert [r.hits for r in reranker.rerank([given(texts=[])], k=3)] == [()]
    with pytest.raises(MissingModel, match="nowhere"):
        reranker.warm_up()


def test_three_labels_are_refused(tmp_path: Path) -> None:
    folder = tiny_classifier(tmp_path / "model", labels=3)
    with pytest.raises(SpecError, match="has 3 labels; a reranker has one"):
        CrossEncoderReranker(model=str(folder)).warm_up()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": ""}, "model must name"),
        ({"device": "gpu"}, "device must be"),
        ({"max_tokens": 0}, "max_tokens must be"),
        ({"max_batch_tokens": 0}, "max_batch_tokens must be"),
        ({"depth": 0}, "depth must be"),
    ],
)
def test_senseless_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CrossEncoderReranker(**{"model": "x", **arguments})
