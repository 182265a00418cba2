"""Static vectors distilled from a random BERT: every step undone by hand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from rag.cli import main
from rag.errors import MissingDependency, SpecError
from rag.indexes import SentenceEncoder
from ragline_train.static_vectors import distil_static
from tests.retrievers.tiny_encoders import DENSE, WIDTH, sentence_modules, tiny_bert, write_json

pytestmark = pytest.mark.filterwarnings("ignore")  # of model2vec's libraries


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("models") / "bert")


def with_pooling(bare: Path, folder: Path, pooling: str, **others: Any) -> Path:
    shutil.copytree(bare, folder)
    return sentence_modules(folder, {"pooling_mode": pooling}, **others)


def pooled(folder: Path, token: str) -> np.ndarray:
    """What the encoder makes of a token alone, between the special ones."""
    return SentenceEncoder(model=str(folder), compute="float32").encode([token], role="document")[0]


@pytest.mark.parametrize("pooling", ["mean", "cls", "lasttoken"])
def test_tokens_stand_as_they_do_to_the_encoder(bare: Path, tmp_path: Path, pooling: str) -> None:
    """PCA over all axes moves and turns the vectors; differences between them keep their length. Then Zipf's weights."""
    teacher = with_pooling(bare, tmp_path / "teacher", pooling, rest=())
    out = distil_static(str(teacher), tmp_path / "static", dim=WIDTH, numbers="float32")
    vectors = load_file(out / "model.safetensors")["embeddings"]
    vocabulary = json.loads((out / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    assert len(vectors) == len(vocabulary)
    chances = 1 / np.arange(2, len(vectors) + 2)
    chances /= chances.sum()
    unweighted = vectors / (1e-4 / (1e-4 + chances))[:, None]
    words = ["bicycle", "warranty", "the", "laptop", "of"]
    student = np.stack([unweighted[vocabulary[word]] for word in words])
    made = np.stack([pooled(teacher, word) for word in words])
    np.testing.assert_allclose(
        np.linalg.norm(student[:, None] - student, axis=-1), np.linalg.norm(made[:, None] - made, axis=-1), atol=2e-3
    )


def test_the_folder_is_an_encoder_and_names_no_place(bare: Path, tmp_path: Path) -> None:
    teacher = with_pooling(bare, tmp_path / "teacher", "mean")
    out = distil_static(str(teacher), tmp_path / "static", dim=6)
    encoder = SentenceEncoder(model=str(out))
    described = encoder.describe()
    assert (described["kind"], described["dim"], described["normalise"]) == ("static", 6, True)
    (vector,) = encoder.encode(["the bicycle"], role="query")
    assert np.linalg.norm(vector) == pytest.approx(1)
    assert load_file(out / "model.safetensors")["embeddings"].dtype == np.float16


def test_a_packaged_or_named_model_keeps_its_name_alone(bare: Path, tmp_path: Path) -> None:
    teacher = with_pooling(bare, tmp_path / "teacher", "mean")
    out = distil_static(str(teacher), tmp_path / "static", dim=4)
    assert json.loads((out / "config.json").read_text())["tokenizer_name"] == "teacher"


def test_a_model_that_does_more_is_refused(bare: Path, tmp_path: Path) -> None:
    layered = with_pooling(bare, tmp_path / "layered", "mean", rest=(("2_Dense", DENSE),))
    write_json(layered / "2_Dense" / "config.json", {"in_features": WIDTH, "out_features": 8, "bias": True})
    with pytest.raises(SpecError, match=r"pools by mean and has 1 layers after it\. Static vectors are distilled from"):
        distil_static(str(layered), tmp_path / "static")
    largest = with_pooling(bare, tmp_path / "largest", "max")
    with pytest.raises(SpecError, match=r"pools by max\. Static vectors are distilled from models that pool by mean"):
        distil_static(str(largest), tmp_path / "static")


def test_a_folder_with_something_in_it_is_left_alone(bare: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(SpecError, match=r"is there already, and not empty\. Name another folder"):
        distil_static(str(bare), tmp_path)


def test_without_its_libraries_the_error_names_the_extra(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag.core.optional.find_spec", lambda module: None)
    with pytest.raises(MissingDependency, match=r"Run: pip install .*plugins/train\[static\]"):
        distil_static(str(bare), tmp_path / "static")


def test_the_command_says_how_to_name_it(bare: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    teacher = with_pooling(bare, tmp_path / "teacher", "mean")
    out = tmp_path / "static"
    assert main(["distil", str(teacher), "--out", str(out), "--dim", "5", "--numbers", "float32"]) == 0
    assert f"encoder: {out}" in capsys.readouterr().out
    assert SentenceEncoder(model=str(out)).dim == 5
