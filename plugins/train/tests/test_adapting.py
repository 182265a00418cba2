"""The closed loop: an encoder is switched in where the hybrid is shown to find more with it, and nowhere else."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from plugins.train.tests.teachable import teachable_index, tiny_encoder
from rag.cli import main
from rag.errors import SpecError
from rag.evaluate import evaluate
from rag.indexes import LocalIndex
from rag.types import Query
from ragline_train.commands.adapt import show
from ragline_train.teaching.adapting import FEWEST, Adapted, adapt, asked_both, switched_where_better
from ragline_train.teaching.task import Settings
from ragline_train.teaching.training import Data, Result, lessons_of
from retrievers import RETRIEVERS
from tests.retrievers.tiny_encoders import tiny_static

pytestmark = pytest.mark.filterwarnings("ignore")  # of the trainers' libraries

N, DATA = 150, Data(own=300)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Vectors that tell every word of the corpus apart."""
    return tiny_static(tmp_path_factory.mktemp("words") / "good")


@pytest.fixture
def poor(tmp_path: Path, good: Path) -> Path:
    """The same, in which words that begin alike are one."""
    folder = tmp_path / "poor"
    shutil.copytree(good, folder)
    table = load_file(folder / "model.safetensors")
    table["embeddings"] = table["embeddings"][np.arange(len(table["embeddings"])) % 2]
    save_file(table, folder / "model.safetensors")
    return folder


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """Vectors alone: words would find the passages by themselves."""
    place = tmp_path / "vectors.yaml"
    place.write_text("version: 1\nnodes: {hits: {use: retrieve.dense, k: 10}}\noutput: hits\n", encoding="utf-8")
    return place


def encoder_of(index: Path) -> str:
    with LocalIndex.open(index) as opened:
        return opened.model_names(("dense",))[0][0]


def judged(index: Path, model: Path, graph: Path, **more: Any) -> Adapted:
    """As after a run that taught `model`."""
    with LocalIndex.open(index) as opened:
        lessons = lessons_of(opened, DATA)
    result = Result(folder=model, gained=True, facts={"start": {"name": encoder_of(index)}})
    return switched_where_better(index, result, lessons, DATA, graph=graph, **more)


def test_what_finds_more_is_switched_in_and_the_old_one_comes_back(
    tmp_path: Path, good: Path, poor: Path, graph: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = teachable_index(tmp_path / "own", poor, n=N)
    kept = judged(index, good, graph, switch=False)
    assert (kept.switched, kept.why) == (False, "it finds more, and nobody asked for the switch")
    assert encoder_of(index) == str(poor)
    found = judged(index, good, graph)
    assert found.test is not None
    assert found.before is not None
    assert found.after is not None
    assert found.switched
    assert found.test.low > 0
    assert found.test.p < 0.05
    assert found.after - found.before == pytest.approx(found.test.difference)
    assert encoder_of(index) == str(good)
    show(found, str(index))
    said = capsys.readouterr()
    assert f"has the new encoder, {good}" in said.out
    back = said.err.partition("back: rag ")[2].split()
    assert main(back) == 0
    assert encoder_of(index) == str(poor)


def test_what_finds_less_or_as_much_changes_nothing(tmp_path: Path, good: Path, poor: Path, graph: Path) -> None:
    index = teachable_index(tmp_path / "own", good, n=N)
    for model in (good, poor):
        found = judged(index, model, graph)
        assert (found.switched, found.why) == (False, f"{graph} is not shown to find more with it")
    assert encoder_of(index) == str(good)


def test_a_few_questions_switch_nothing(tmp_path: Path, good: Path, poor: Path, graph: Path) -> None:
    index = teachable_index(tmp_path / "own", poor, n=N)
    with LocalIndex.open(index) as opened:
        lessons = lessons_of(opened, DATA)
    few = replace(lessons, telling=lessons.telling[: FEWEST - 1])
    result = Result(folder=good, gained=True, facts={})
    found = switched_where_better(index, result, few, DATA, graph=graph)
    assert (found.switched, found.why) == (False, "19 questions are too few to rest a switch on")


def test_a_question_is_not_answered_by_its_own_words(tmp_path: Path, good: Path, graph: Path) -> None:
    """In the index the passage of a title has the title; in the copy that both are asked in it lacks it."""
    index = teachable_index(tmp_path / "own", good, n=N)
    with LocalIndex.open(index) as opened:
        lessons = lessons_of(opened, DATA)
        telling = tuple(case for case in lessons.telling if case.origin == "sentence")
        before, _ = asked_both(opened, replace(lessons, telling=telling), DATA, str(good), graph=graph)
        queries = [Query(qid=str(number), text=case.query) for number, case in enumerate(telling)]
        found = RETRIEVERS.get("dense")(index=opened).retrieve(queries, k=10)
    whole = evaluate(found, {str(at): {case.source: 1} for at, case in enumerate(telling)}, ["nDCG@10"])
    assert sum(before.values()) / len(before) < whole.measures["nDCG@10"]


def test_no_step_above_the_start_changes_nothing(tmp_path: Path) -> None:
    index = teachable_index(tmp_path / "own", tiny_encoder(tmp_path / "bert"), n=N)
    old = encoder_of(index)
    settings = Settings(steps=4, batch=4, learning_rate=1e-30, tellings=1, max_tokens=24)
    found = adapt(index, out=tmp_path / "model", data=DATA, settings=settings)
    assert (found.switched, found.why) == (False, "no step of teaching was above the start")
    assert encoder_of(index) == old


def test_an_index_without_vectors_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="has no vectors, so there is no encoder to teach"):
        adapt(teachable_index(tmp_path / "own", None), out=tmp_path / "model")


def test_the_command_says_that_nothing_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = teachable_index(tmp_path / "own", tiny_encoder(tmp_path / "bert"), n=N)
    given = ["adapt", "--index", str(index), "--out", str(tmp_path / "m"), "--steps", "4", "--own", "200", "--keep"]
    assert main(given) == 0
    assert "Nothing changed: " in capsys.readouterr().out
    assert main([*given, "--resume", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["switched"] is False
