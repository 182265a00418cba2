"""Towers of sentence-transformers: pictures and questions as that library reads them, and nothing opened for a question."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Transformer
from transformers import CLIPImageProcessorPil, CLIPProcessor, PreTrainedTokenizerFast

from plugins.media.tests.drawn import drawings, encoded, random_encoder
from plugins.media.tests.published import transformers_clip
from plugins.media.tests.test_layouts import graph, indexed
from rag import load_pipeline
from rag.errors import ContractError, SpecError
from rag.indexes import LocalIndex, SentenceEncoder, unit
from ragline_media.tower.joint import JointTower, tower_of
from ragline_media.tower.library_tower import LibraryTower

PICTURES = [encoded(each.picture()) for each in drawings(1)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small CLIP of random numbers, as sentence-transformers keeps one."""
    place = tmp_path_factory.mktemp("library")
    clip = transformers_clip().folder(place / "clip")
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(clip / "tokenizer.json"), model_max_length=77)
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(0)
    said = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    CLIPProcessor(CLIPImageProcessorPil(**said), tokenizer).save_pretrained(clip)
    model = SentenceTransformer(modules=[Transformer(str(clip))], device="cpu")
    model.save(str(place / "st"), create_model_card=False)
    return place / "st"


def test_pictures_and_texts_are_what_the_library_makes_of_them(folder: Path) -> None:
    tower = tower_of(str(folder))
    assert isinstance(tower, LibraryTower)
    model = SentenceTransformer(str(folder), device="cpu")
    expected = model.encode([each.picture().convert("RGB") for each in drawings(1)], normalize_embeddings=True)
    seen = tower.features(PICTURES)
    assert np.allclose(seen.pooled, expected, atol=1e-5)
    assert seen.logits.shape == (12, 0)
    assert tower.features([]).pooled.shape == (0, 0)
    texts = ["a red disc", "a blue frame"]
    read = SentenceEncoder(model=str(folder)).encode(texts, role="query")
    assert np.allclose(read, model.encode(texts), atol=1e-5)
    said = tower.describe()
    assert len(said["tower_sha256"]) == 64
    assert said["library"]["library"].startswith("sentence-transformers ")
    tower.release()
    assert np.allclose(tower.features(PICTURES[:1]).pooled, seen.pooled[:1], atol=1e-5)


def test_an_index_of_such_a_tower_opens_nothing_for_a_question(folder: Path, tmp_path: Path) -> None:
    """A question that is the path of a picture is a text: else it would be that picture, whose score with itself is 1."""
    index = indexed(folder, tmp_path)
    path = str(sorted((tmp_path / "photos").iterdir())[0])
    encoder = SentenceEncoder(model=str(folder))
    with load_pipeline(graph(folder), index=index) as pipeline, LocalIndex.open(index) as opened:
        vectors = opened.leg("pictures").vectors
        for asked in (path, f"file://{path}", "https://example.org/a.png", "a red disc"):
            expected = np.sort(vectors @ unit(encoder.encode([asked], role="query"))[0])[::-1]
            found = pipeline.search(asked, k=12)
            assert [hit.score for hit in found.hits] == pytest.approx(expected.tolist(), abs=1e-5)
            assert found.hits[0].score < 0.999


def test_a_folder_that_sees_no_pictures_is_refused(tmp_path: Path) -> None:
    texts = random_encoder(tmp_path / "texts")
    with pytest.raises(SpecError, match=r"reads text.*, and sees no pictures. Name another tower"):
        indexed(texts, tmp_path)


def test_a_folder_with_code_of_its_own_is_refused(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    modules: list[dict[str, Any]] = json.loads((other / "modules.json").read_text())
    modules[0]["type"] = "stranger.Module"
    (other / "modules.json").write_text(json.dumps(modules))
    (other / "stranger.py").write_text("raise SystemExit('run')\n")
    with pytest.raises(SpecError, match="stranger"):
        indexed(other, tmp_path)


def test_numbers_that_are_none_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tower = LibraryTower(str(folder))
    model = SentenceTransformer(str(folder), device="cpu")
    for parameter in model.parameters():
        parameter.data.fill_(float("nan"))
    monkeypatch.setitem(tower.__dict__, "_model", model)
    with pytest.raises(ContractError, match=r"not finite.*Take them in float32"):
        tower.features(PICTURES[:1])


def test_a_published_layout_stays_what_it_is(tmp_path: Path) -> None:
    assert isinstance(tower_of(str(transformers_clip().folder(tmp_path / "clip"))), JointTower)
