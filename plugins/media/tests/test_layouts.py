"""Every layout with random weights against the class of transformers or of open_clip, or against a second plain network."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plugins.media.tests.drawn import drawings, encoded, random_encoder
from plugins.media.tests.published import (
    CASES,
    WORDS,
    Reference,
    long_clip,
    made,
    mlcd,
    of_open_clip,
    transformers_clip,
    word_tokenizer,
)
from rag import build_index, load_pipeline
from rag.errors import MissingModel, SpecError
from rag.graphs import load_spec
from rag.indexes import LocalIndex, SentenceEncoder
from ragline_media.tower.joint import JointEncoder, JointTower, tower_of
from ragline_media.tower.layouts import LAYOUTS, mapped
from ragline_media.tower.pixels import Pixels
from ragline_media.tower.published import Published, layout_of


def test_every_layout_is_held() -> None:
    assert {layout for layout, _ in CASES.values()} == set(LAYOUTS)


@pytest.mark.parametrize("name", CASES)
def test_random_weights_give_what_another_implementation_gives(name: str, tmp_path: Path) -> None:
    reference = made(name, tmp_path)
    published = Published(reference.folder(tmp_path / "tower"))
    assert published.name == CASES[name][0]
    drawing = torch.Generator().manual_seed(2)
    pixels = torch.randn(2, *reference.shape, generator=drawing)
    require_same(published.side("seen"), reference.pictures, pixels)
    if reference.texts is None:
        with pytest.raises(SpecError, match="reads no texts"):
            published.side("said")
        return
    ids = torch.randint(2, WORDS - 2, (3, published.length), generator=drawing)
    for row, end in enumerate((3, 30, published.length - 1)):
        ids[row, end], ids[row, end + 1 :] = WORDS - 1, published.layout.fill
    require_same(published.side("said"), reference.texts, ids)


def require_same(
    side: Callable[[torch.Tensor], torch.Tensor], other: Callable[[torch.Tensor], torch.Tensor], given: torch.Tensor
) -> None:
    """To 1e-5 as unit vectors, which are what a tower gives; and no two of what was given have the same."""
    with torch.no_grad():
        found, expected = (torch.nn.functional.normalize(each(given)) for each in (side, other))
    assert torch.allclose(found, expected, atol=1e-5)
    assert float((expected[0] - expected[1]).abs().max()) > 1e-3


def test_a_long_text_is_read_to_its_end(tmp_path: Path) -> None:
    """CLIP stops at 77 tokens; a word at place 150 changes what Long-CLIP says."""
    folder = long_clip().folder(tmp_path / "long")
    encoder = SentenceEncoder(model=str(folder))
    long, other = ["a"] * 200, ["a"] * 200
    other[150] = "red"
    one, two = encoder.encode([" ".join(long), " ".join(other)], role="query")
    assert np.abs(one - two).max() > 1e-4
    short = of_open_clip(quick=True, layout="openai").folder(tmp_path / "short")
    one, two = SentenceEncoder(model=str(short)).encode([" ".join(long), " ".join(other)], role="query")
    assert np.array_equal(one, two)


@pytest.fixture(scope="module")
def tower(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return transformers_clip().folder(tmp_path_factory.mktemp("towers") / "clip")


def graph(tower: Path, **pictures: str) -> dict[str, Any]:
    return {
        "version": 1,
        "index": {"pictures": {"tower": str(tower), **pictures}},
        "nodes": {"found": {"use": "retrieve.pictures", "in": "query", "k": 12}},
        "output": "found",
    }


def indexed(tower: Path, home: Path, **pictures: str) -> Path:
    (home / "photos").mkdir()
    for place, each in enumerate(drawings(1)):
        (home / "photos" / f"IMG_{place:04}.png").write_bytes(encoded(each.picture()))
    spec = load_spec(graph(tower, **pictures))
    build_index(home / "photos", home / "idx", settings=spec.graph.index, legs=("pictures",))
    return home / "idx"


def test_an_index_of_a_published_tower(tower: Path, tmp_path: Path) -> None:
    """Pictures and questions are seen and read by the two sides of one folder."""
    index = indexed(tower, tmp_path)
    model = Published(tower)
    with load_pipeline(graph(tower), index=index) as pipeline, LocalIndex.open(index) as opened:
        leg = opened.leg("pictures")
        some = [encoded(each.picture()) for each in drawings(1)]
        expected = JointTower(str(tower)).features(some).pooled
        order = {key: place for place, key in enumerate(leg.keys)}
        assert np.allclose(np.sort(leg.vectors @ expected.T, axis=0)[-1], 1, atol=1e-5)
        assert len(order) == 12
        hits = pipeline.search("a red disc").hits
        ids = torch.tensor([[WORDS - 2, 6, 2, 4, WORDS - 1]])
        with torch.no_grad():
            question = torch.nn.functional.normalize(model.side("said")(ids)).numpy()[0]
        assert [hit.score for hit in hits] == pytest.approx(
            sorted((leg.vectors @ question).tolist(), reverse=True), abs=1e-5
        )


def test_pictures_are_made_as_transformers_makes_them() -> None:
    from transformers import CLIPImageProcessorPil

    said = {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}, "resample": 3}
    theirs = CLIPImageProcessorPil(**said)
    for each, size in zip(drawings(1), ((96, 96), (96, 60), (50, 131)), strict=False):
        picture = each.picture().resize(size)
        expected = theirs(picture, return_tensors="np")["pixel_values"][0]
        assert np.allclose(Pixels.of(said, side=32)(picture), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"size": 100_000}, "from 1 to 2048"),
        ({"size": {"width": 3}}, "cannot be made"),
        ({"image_mean": [0.5]}, "cannot be made"),
    ],
)
def test_what_cannot_be_made_of_a_picture_is_told(said: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError, match=told):
        Pixels.of(said, side=32)


def test_a_tower_that_reads_no_texts_needs_a_projector(tmp_path: Path) -> None:
    folder = mlcd().folder(tmp_path / "mlcd")
    with pytest.raises(SpecError, match="reads no texts, so words do not find its pictures"):
        indexed(folder, tmp_path)
    assert "reads no texts" in str(JointEncoder.refuses(folder))


def test_a_folder_of_sentence_transformers_is_no_tower(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"is a folder of sentence-transformers, of which texts alone are read here"):
        tower_of(str(random_encoder(tmp_path / "st")))


def test_pictures_of_a_tower_lie_beside_no_other_texts(tower: Path, tmp_path: Path) -> None:
    other = of_open_clip(quick=False, layout="open_clip").folder(tmp_path / "other")
    with pytest.raises(SpecError, match="lie beside its own texts, and not beside those of"):
        indexed(tower, tmp_path, encoder=str(other))


def test_a_projector_brings_what_reads_no_texts_beside_texts(tower: Path, tmp_path: Path) -> None:
    from ragline_media.tower.fitting import fit_pairs

    folder, encoder = mlcd().folder(tmp_path / "mlcd"), SentenceEncoder(model=str(tower))
    some = drawings(2)
    fitted = fit_pairs(
        [encoded(each.picture()) for each in some],
        [[each.caption] for each in some],
        tower=JointTower(str(folder)),
        encoder=encoder,
        penalty=1e-4,
    )
    assert fitted.weights.shape == (96, 48)
    (tmp_path / "projector").mkdir()
    fitted.save(tmp_path / "projector")
    index = indexed(folder, tmp_path, projector=str(tmp_path / "projector"), encoder=str(tower))
    with LocalIndex.open(index) as opened:
        assert opened.leg("pictures").vectors.shape == (12, 48)


class TestForeignFolders:
    def test_one_that_names_no_layout_is_no_tower(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text('{"model_type": "bert"}')
        assert layout_of(tmp_path) is None
        assert "names no layout" in str(JointEncoder.refuses(tmp_path))
        with pytest.raises(SpecError, match=r'Write "layout": one of openai, open_clip'):
            Published(tmp_path)

    @pytest.mark.parametrize("said", ['{"layout": "clipp"}', "[1]", "{", '{"layout": 3}'])
    def test_a_layout_that_is_not_known_is_told(self, said: str, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text(said)
        with pytest.raises(SpecError, match=r"there is no layout|cannot be read"):
            layout_of(tmp_path)

    def test_weights_of_another_layout_are_told(self, tower: Path, tmp_path: Path) -> None:
        folder = of_open_clip(quick=False, layout="transformers").folder(tmp_path / "wrong")
        with pytest.raises(SpecError, match="no weight of this layout is called '"):
            Published(folder).side("seen")

    def test_weights_that_are_missing_or_do_not_fit_are_told(self, tmp_path: Path) -> None:
        whole = transformers_clip()
        for n, (name, change) in enumerate(
            [
                ("vision_model.pre_layrnorm.weight", None),
                ("vision_model.encoder.layers.0.self_attn.k_proj.weight", None),
                ("vision_model.encoder.layers.0.mlp.fc1.bias", torch.zeros(3)),
                ("vision_model.encoder.layers.7.mlp.fc1.bias", torch.zeros(3)),
            ]
        ):
            weights = {key: each for key, each in whole.weights.items() if key != name}
            weights |= {} if change is None else {name: change}
            folder = Reference(weights, whole.config, whole.pictures, whole.texts).folder(tmp_path / str(n))
            with pytest.raises(SpecError, match="has no weights of the layout 'transformers'"):
                Published(folder).side("seen")

    def test_a_file_that_is_cut_off_and_one_that_is_pickled_are_refused(self, tmp_path: Path) -> None:
        folder = transformers_clip().folder(tmp_path / "cut")
        file = folder / "model.safetensors"
        file.write_bytes(file.read_bytes()[:5000])
        with pytest.raises(SpecError, match=r"model.safetensors cannot be read"):
            Published(folder).side("seen")
        file.unlink()
        torch.save({}, folder / "pytorch_model.bin")
        with pytest.raises(SpecError, match="Pickled weights are not read"):
            Published(folder).side("seen")
        with pytest.raises(MissingModel, match="pickled weights, which are not read"):
            JointTower(str(folder)).describe()

    def test_a_tokenizer_that_is_none_and_words_that_weights_lack_are_told(self, tmp_path: Path) -> None:
        folder = transformers_clip().folder(tmp_path / "clip")
        (folder / "tokenizer.json").write_text("{}")
        with pytest.raises(SpecError, match="is no tokenizer"):
            SentenceEncoder(model=str(folder)).encode(["a"], role="query")
        word_tokenizer(folder / "tokenizer.json")
        said = json.loads((folder / "tokenizer.json").read_text())
        said["model"]["vocab"]["red"] = 4_000
        (folder / "tokenizer.json").write_text(json.dumps(said))
        with pytest.raises(SpecError, match="do not fit together"):
            SentenceEncoder(model=str(folder)).encode(["red"], role="query")


def test_a_part_that_is_missing_and_a_key_of_nobody() -> None:
    keys = {"a.{n}.q": "b.{n}", "c": ""}
    assert {*mapped({"a.3.q": torch.ones(2), "c": torch.ones(())}, keys)} == {"b.3"}
    with pytest.raises(ValueError, match=r"called 'a.x.q'"):
        mapped({"a.x.q": torch.ones(2)}, keys)
