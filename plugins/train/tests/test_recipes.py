"""Each recipe on two layers of 32: its loss falls, and what it writes is read by what a graph names it in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plugins.train.tests.teachable import passages, teachable_index, tiny_encoder
from rag import build_index
from rag.errors import SpecError
from rag.indexes import IndexSettings, LocalIndex, SentenceEncoder
from rag.types import Document, Query, Ranking, ScoredDocument
from ragline_train.teaching.recipes import RECIPES
from ragline_train.teaching.settings import Settings
from ragline_train.teaching.training import Data, Result, train
from rerankers import RERANKERS
from retrievers import RETRIEVERS
from tests.tiny_models import tiny_masked_model

pytestmark = pytest.mark.filterwarnings("ignore")  # of the trainers' libraries


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("models")
    made = {"encoder": tiny_encoder(folder / "bert"), "larger": tiny_encoder(folder / "other", seed=5)}
    made["masked"] = tiny_masked_model(folder / "masked")
    return {name: str(place) for name, place in made.items()}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return teachable_index(tmp_path_factory.mktemp("own"), None)


def taught(index: Path, out: Path, recipe: str, **more: Any) -> Result:
    given: dict[str, Any] = {"steps": 8, "batch": 12, "ways": 4, "learning_rate": 5e-3, "tellings": 4, "max_tokens": 24}
    with LocalIndex.open(index) as opened:
        return train(recipe, index=opened, out=out, data=Data(own=120), settings=Settings(**{**given, **more}))


def require_falling(result: Result) -> None:
    """The loss, and something is gained by it."""
    losses = [each["loss"] for each in result.facts["chosen by"]["told"] if each["loss"] is not None]
    assert losses[-1] < losses[0]
    assert result.gained, "the best step is above the start"


def found_by(folder: Path, leg: str, settings: dict[str, Any], retriever: str) -> Ranking:
    """What a leg of an index that names the model finds for a title."""
    corpus = folder / "corpus.jsonl"
    corpus.write_text("".join(json.dumps(each) + "\n" for each in passages(20)), encoding="utf-8")
    build_index(corpus, folder / "idx", settings=IndexSettings.model_validate({leg: settings}), legs=(leg,))
    with LocalIndex.open(folder / "idx") as opened:
        [ranking] = RETRIEVERS.get(retriever)(index=opened).retrieve([Query(qid="1", text=passages()[3]["title"])], k=5)
    assert isinstance(ranking, Ranking)
    return ranking


def test_a_reranker_is_named_by_one_line(index: Path, models: dict[str, str], tmp_path: Path) -> None:
    result = taught(index, tmp_path / "model", "reranker", model=models["encoder"], steps=24)
    require_falling(result)
    assert result.facts["named_by"] == "rerank.cross_encoder"
    reranker = RERANKERS.get("cross_encoder")(model=str(result.folder))
    documents = [Document(doc_id=each["_id"], text=each["text"]) for each in passages(6)]
    hits = tuple(ScoredDocument(document=each, score=-float(at)) for at, each in enumerate(documents))
    asked = Ranking(query=Query(qid="1", text=passages()[3]["title"]), hits=hits)
    [ranking] = reranker.rerank([asked], k=6)
    from sentence_transformers import CrossEncoder

    theirs = CrossEncoder(str(result.folder), device="cpu", local_files_only=True)
    scores = theirs.predict(
        [(asked.query.text, each.text) for each in documents], activation_fn=None, show_progress_bar=False
    )
    order = [documents[place].doc_id for place in np.argsort(-scores, kind="stable")]
    assert list(ranking.doc_ids) == order


def test_a_smaller_encoder_is_fitted_to_a_larger_one(index: Path, models: dict[str, str], tmp_path: Path) -> None:
    result = taught(
        index, tmp_path / "model", "align", model=models["encoder"], teacher_model=models["larger"], steps=16
    )
    losses = [each["loss"] for each in result.facts["chosen by"]["told"] if each["loss"] is not None]
    assert losses[-1] < losses[0]
    assert result.facts["facts"]["fitted to"] == models["larger"]
    if result.gained:
        texts = [each["text"] for each in passages(8)]
        teacher, before, after = (
            SentenceEncoder(model=name, compute="float32").encode(texts, role="document")
            for name in (models["larger"], models["encoder"], str(result.folder))
        )
        assert (after * teacher).sum(axis=1).mean() > (before * teacher).sum(axis=1).mean()


def test_a_model_is_not_fitted_to_itself(index: Path, models: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be fitted to itself"):
        taught(index, tmp_path / "model", "align", model=models["encoder"], teacher_model=models["encoder"])


def test_sparse_terms_make_a_leg(index: Path, models: dict[str, str], tmp_path: Path) -> None:
    result = taught(index, tmp_path / "model", "sparse", model=models["masked"])
    require_falling(result)
    assert found_by(tmp_path, "sparse", {"model": str(result.folder)}, "sparse").hits


def test_token_vectors_make_a_leg(index: Path, models: dict[str, str], tmp_path: Path) -> None:
    result = taught(index, tmp_path / "model", "multi_vector", model=models["encoder"])
    require_falling(result)
    assert found_by(tmp_path, "late_interaction", {"model": str(result.folder)}, "late_interaction").hits


def test_static_vectors_are_taught_and_read_without_a_model(
    index: Path, models: dict[str, str], tmp_path: Path
) -> None:
    result = taught(index, tmp_path / "model", "static", model=models["encoder"], learning_rate=0.02)
    require_falling(result)
    encoder = SentenceEncoder(model=str(result.folder))
    assert encoder.describe()["kind"] == "static"
    again = taught(index, tmp_path / "again", "static", model=str(result.folder), learning_rate=0.02)
    assert again.facts["start"]["name"] == f"static vectors of {result.folder}"
    assert encoder.dim == SentenceEncoder(model=str(result.folder)).dim


def test_every_recipe_says_what_it_gives() -> None:
    assert {*RECIPES} == {"encoder", "reranker", "align", "static", "sparse", "multi_vector"}
    assert all(gives for gives in RECIPES.values())
