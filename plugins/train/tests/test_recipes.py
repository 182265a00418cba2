"""Each recipe on two layers of 32: its loss falls, and what it writes is read by what a graph names it in."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from plugins.train.tests.teachable import passages, teachable_index, tiny_encoder
from rag import build_index
from rag.errors import SpecError
from rag.indexes import IndexSettings, LocalIndex, SentenceEncoder
from rag.types import Document, Query, Ranking, ScoredDocument
from ragline_train.teaching.lessons import Lessons
from ragline_train.teaching.recipes import RECIPES, recipe_named
from ragline_train.teaching.recipes.align import turned, vector_rows
from ragline_train.teaching.recipes.reranker import FIRST_STAGE
from ragline_train.teaching.task import Settings, ndcg
from ragline_train.teaching.training import Data, Result, lessons_of, train
from rerankers import RERANKERS
from retrievers import RETRIEVERS
from tests.tiny_models import tiny_masked_model

pytestmark = pytest.mark.filterwarnings("ignore")  # of the trainers' libraries

DATA, BATCH = Data(own=120), 12


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("models")
    made = {"encoder": tiny_encoder(folder / "bert"), "larger": tiny_encoder(folder / "other", seed=5)}
    made["masked"] = tiny_masked_model(folder / "masked")
    return {name: str(place) for name, place in made.items()}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return teachable_index(tmp_path_factory.mktemp("own"), None)


@pytest.fixture(scope="module")
def lessons(index: Path) -> Lessons:
    """One batch: what is taught again and again is learnt."""
    with LocalIndex.open(index) as opened:
        made = lessons_of(opened, DATA)
    return replace(made, taught=made.taught[:BATCH])


def settings(**more: Any) -> Settings:
    given: dict[str, Any] = {
        "steps": 8,
        "batch": BATCH,
        "ways": 4,
        "learning_rate": 2e-3,
        "tellings": 4,
        "max_tokens": 24,
    }
    return Settings(**{**given, **more})


def taught(index: Path, lessons: Lessons, out: Path, recipe: str, **more: Any) -> Result:
    with LocalIndex.open(index) as opened:
        return train(recipe, index=opened, out=out, data=DATA, lessons=lessons, settings=settings(**more))


def require_falling(result: Result) -> None:
    losses = [each["loss"] for each in result.facts["chosen by"]["told"] if each["loss"] is not None]
    assert len(losses) == 4
    assert losses[-1] < losses[0]


def written(lessons: Lessons, out: Path, recipe: str, **more: Any) -> Path:
    """What a recipe writes of its start, which it writes whether anything is gained or not."""
    recipe_named(recipe)(lessons, settings(**more)).save(out)
    return out


def found_by(folder: Path, leg: str, model: Path, retriever: str) -> Ranking:
    """What a leg of an index that names the model finds for a title."""
    corpus = folder / "corpus.jsonl"
    corpus.write_text("".join(json.dumps(each) + "\n" for each in passages(20)), encoding="utf-8")
    build_index(
        corpus, folder / "idx", settings=IndexSettings.model_validate({leg: {"model": str(model)}}), legs=(leg,)
    )
    with LocalIndex.open(folder / "idx") as opened:
        [ranking] = RETRIEVERS.get(retriever)(index=opened).retrieve([Query(qid="1", text=passages()[3]["title"])], k=5)
    assert isinstance(ranking, Ranking)
    return ranking


def test_a_reranker_is_named_by_one_line(index: Path, lessons: Lessons, models: dict[str, str], tmp_path: Path) -> None:
    result = taught(index, lessons, tmp_path / "model", "reranker", model=models["encoder"], steps=32)
    require_falling(result)
    assert result.facts["named_by"] == "rerank.cross_encoder"
    assert result.facts["facts"]["first_stage"] == FIRST_STAGE
    model = written(lessons, tmp_path / "written", "reranker", model=models["encoder"])
    documents = [Document(doc_id=each["_id"], text=each["text"]) for each in passages(6)]
    hits = tuple(ScoredDocument(document=each, score=-float(at)) for at, each in enumerate(documents))
    asked = Ranking(query=Query(qid="1", text=passages()[3]["title"]), hits=hits)
    [ranking] = RERANKERS.get("cross_encoder")(model=str(model)).rerank([asked], k=6)
    from sentence_transformers import CrossEncoder

    theirs: Any = CrossEncoder(str(model), device="cpu", local_files_only=True)
    scores = theirs.predict([(asked.query.text, each.text) for each in documents], show_progress_bar=False)
    assert list(ranking.doc_ids) == [documents[place].doc_id for place in np.argsort(-scores, kind="stable")]


def test_a_reranker_begins_as_the_order_that_it_mends(
    index: Path, lessons: Lessons, models: dict[str, str], tmp_path: Path
) -> None:
    task = recipe_named("reranker")(lessons, settings(model=models["encoder"]))
    plain = [ndcg(case.first, case.grades) for case in lessons.telling]
    assert task.measure(lessons.telling) == pytest.approx(plain)
    task.save(tmp_path / "start")
    documents = [Document(doc_id=each["_id"], text=each["text"]) for each in passages(6)]
    hits = tuple(ScoredDocument(document=each, score=3.0**-at) for at, each in enumerate(documents))
    asked = Ranking(query=Query(qid="1", text="what"), hits=hits)
    [ranking] = RERANKERS.get("cross_encoder")(model=str(tmp_path / "start"), first_stage=1.0).rerank([asked], k=6)
    assert list(ranking.doc_ids) == [each.doc_id for each in documents]


def test_a_loss_of_what_is_added_is_that_of_the_sum(lessons: Lessons, models: dict[str, str]) -> None:
    import torch

    task = recipe_named("reranker")(lessons, settings(model=models["encoder"]))
    [row, *_] = task.examples
    with torch.no_grad():
        task.model.model.classifier.weight.normal_()
        task.model.eval()
        inputs = ([row["query"]], [row["documents"]], [row["first"]])
        found = float(task.loss(inputs, [torch.tensor(row["label"])]))
    pairs = [(row["query"], text) for text in row["documents"]]
    logits = task.model.predict(pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False)
    scores = np.asarray(logits, dtype=np.float64) + np.array(row["first"])
    shares = np.exp(row["label"]) / np.exp(row["label"]).sum()
    assert found == pytest.approx(-float(shares @ (scores - np.log(np.exp(scores).sum()))), abs=1e-4)


def test_a_smaller_encoder_is_fitted_to_a_larger_one(
    index: Path, lessons: Lessons, models: dict[str, str], tmp_path: Path
) -> None:
    result = taught(
        index, lessons, tmp_path / "m", "align", model=models["encoder"], teacher_model=models["larger"], steps=32
    )
    require_falling(result)
    assert result.facts["facts"]["fitted to"] == models["larger"]


def test_sentences_are_fitted_beside_passages_and_questions(lessons: Lessons, models: dict[str, str]) -> None:
    from sentence_transformers import SentenceTransformer

    text = "The bicycle returns in a day. Wheels leave the wheel here. Far too few."
    documents = (Document(doc_id="one", text=text), Document(doc_id="two", text="Wheels leave the wheel here."))
    cut = (replace(documents[0], text="Wheels leave the wheel here. Far too few."), documents[1])
    case = replace(lessons.taught[0], query="lost bicycle", candidates=documents, grades=(0.9, 0.1), first=())
    student = SentenceTransformer(models["encoder"], device="cpu")
    of_two = replace(lessons, taught=(case, replace(case, query="wheels", candidates=cut)))
    rows = vector_rows(of_two, SentenceEncoder(model=models["larger"]), student, {"query": "q: ", "document": "d: "})
    asked = ["lost bicycle", "wheels", "The bicycle returns in a day.", "Wheels leave the wheel here."]
    assert [row["text"] for row in rows] == [
        *(f"d: {each.text}" for each in documents),
        *(f"q: {each}" for each in asked),
    ]


def test_axes_are_turned_and_nothing_else() -> None:
    chance = np.random.default_rng(0)
    ours = chance.normal(size=(50, 6)).astype(np.float32)
    rotation = np.linalg.qr(chance.normal(size=(6, 6)))[0].astype(np.float32)
    np.testing.assert_allclose(turned(ours @ rotation, ours), rotation.T, atol=1e-5)
    fewer = turned(ours @ rotation, ours[:, :4])
    np.testing.assert_allclose(fewer.T @ fewer, np.eye(4), atol=1e-5)


def test_a_model_is_not_fitted_to_itself(index: Path, lessons: Lessons, models: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be fitted to itself"):
        taught(index, lessons, tmp_path / "m", "align", model=models["encoder"], teacher_model=models["encoder"])


def test_sparse_terms_make_a_leg(index: Path, lessons: Lessons, models: dict[str, str], tmp_path: Path) -> None:
    require_falling(taught(index, lessons, tmp_path / "model", "sparse", model=models["masked"]))
    model = written(lessons, tmp_path / "written", "sparse", model=models["masked"])
    assert found_by(tmp_path, "sparse", model, "sparse").hits


@pytest.mark.parametrize("twice", [False, True])
def test_terms_that_are_there_have_the_gradients_of_all_words(models: dict[str, str], *, twice: bool) -> None:
    import torch
    from sentence_transformers import SparseEncoder

    from ragline_train.teaching.recipes.few_terms import FewTerms

    model: Any = SparseEncoder(models["masked"], device="cpu", local_files_only=True).double().train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    model[1].activation_function = "log1p_relu" if twice else "relu"
    texts = [*(each["text"] for each in passages(6)), "short"]
    found = []
    for asked in (model, FewTerms(model)):
        model.zero_grad()
        vectors = asked(model.preprocess(texts))["sentence_embedding"]
        (vectors @ vectors.T).log_softmax(dim=1).diagonal().sum().backward()
        assert 0 < int((vectors > 0).sum()) < vectors.numel()
        gradients = {name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None}
        found.append((vectors.detach(), gradients))
    (ours, our_gradients), (theirs, their_gradients) = found
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(our_gradients, their_gradients)


def test_token_vectors_make_a_leg(index: Path, lessons: Lessons, models: dict[str, str], tmp_path: Path) -> None:
    require_falling(taught(index, lessons, tmp_path / "model", "multi_vector", model=models["encoder"]))
    model = written(lessons, tmp_path / "written", "multi_vector", model=models["encoder"])
    assert found_by(tmp_path, "late_interaction", model, "late_interaction").hits


def test_static_vectors_are_taught_and_read_without_a_model(
    index: Path, lessons: Lessons, models: dict[str, str], tmp_path: Path
) -> None:
    require_falling(taught(index, lessons, tmp_path / "model", "static", model=models["encoder"]))
    model = written(lessons, tmp_path / "written", "static", model=models["encoder"])
    assert SentenceEncoder(model=str(model)).describe()["kind"] == "static"
    again = written(lessons, tmp_path / "again", "static", model=str(model))
    one, other = (load_file(folder / "model.safetensors")["embeddings"] for folder in (model, again))
    np.testing.assert_array_equal(one, other)


def test_questions_whose_negatives_are_all_false_teach_no_source(
    index: Path, lessons: Lessons, models: dict[str, str], tmp_path: Path
) -> None:
    alike = tuple(replace(case, grades=tuple(0.5 for _ in case.grades)) for case in lessons.taught)
    with pytest.raises(SpecError, match="of 12 questions 0 have a passage that they were made of and a negative"):
        taught(index, replace(lessons, taught=alike), tmp_path / "m", "encoder", model=models["encoder"], by="source")


def test_every_recipe_says_what_it_gives() -> None:
    assert {*RECIPES} == {"encoder", "reranker", "align", "static", "sparse", "multi_vector"}
    assert all(gives for gives in RECIPES.values())


@pytest.mark.parametrize("recipe", ["encoder", "align", "sparse", "multi_vector"])
def test_questions_kept_apart_are_read_as_a_search_reads_them(
    lessons: Lessons, models: dict[str, str], recipe: str
) -> None:
    """A passage is cut while it teaches, and whole where the gain is told."""
    model = models["masked" if recipe == "sparse" else "encoder"]
    tasks = [
        recipe_named(recipe)(lessons, settings(model=model, teacher_model=models["larger"], max_tokens=tokens))
        for tokens in (6, 512)
    ]
    cut, whole = (task.measure(lessons.telling) for task in tasks)
    assert cut == whole
    assert tasks[0].model.max_seq_length == 6
