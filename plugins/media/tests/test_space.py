"""Tags, fits and mixes against values worked by hand, or another way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rag.errors import ContractError, SpecError
from ragline_media.leg.retriever import along, weighted
from ragline_media.tower.space import Projector, Space, class_names, inputs, tags
from ragline_media.tower.tower import Features

DRAW = np.random.default_rng(5)


def seen(n: int) -> Features:
    return Features(DRAW.normal(size=(n, 1280)).astype(np.float32), DRAW.normal(size=(n, 1000)).astype(np.float32))


def test_there_is_a_name_for_each_class() -> None:
    names = class_names()
    assert len(names) == 1000
    assert (names[0], names[-1]) == ("tench", "toilet paper")
    assert all(names)


def test_tags_are_the_ten_most_probable_names_by_their_probability() -> None:
    concepts = np.zeros((1000, 12), np.float32)
    for place in range(12):
        concepts[place, place] = 1
    logits = np.full((1, 1000), -50.0, np.float32)
    logits[0, :12] = np.log([40, 20, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1])
    [vector] = tags(Features(np.zeros((1, 1280), np.float32), logits), concepts)
    expected = np.array([40, 20, 10, 9, 8, 7, 6, 5, 4, 3, 0, 0])
    assert np.allclose(vector, expected / np.linalg.norm(expected), atol=1e-5)


def test_a_projector_is_the_least_squares_of_pairs_with_a_penalty() -> None:
    x, y = DRAW.normal(size=(40, 6)).astype(np.float32), DRAW.normal(size=(40, 3)).astype(np.float32)
    projector = Projector.fit(x, y, penalty=2.0)
    # The same as a plain least squares with sqrt(penalty) rows of the identity below.
    stacked = np.vstack([x - x.mean(0), np.sqrt(2.0) * np.eye(6)])
    weights = np.linalg.lstsq(stacked, np.vstack([y - y.mean(0), np.zeros((6, 3))]), rcond=None)[0]
    expected = (x - x.mean(0)) @ weights + y.mean(0)
    assert np.allclose(projector(x), expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-4)


def test_what_a_projector_reads_has_three_parts_of_known_length() -> None:
    some, concepts = seen(3), DRAW.normal(size=(1000, 8)).astype(np.float32)
    parts = np.split(inputs(some, concepts), [1280, 1288], axis=1)
    for part, length in zip(parts, (4, 2, 1), strict=True):
        assert np.allclose(np.linalg.norm(part, axis=1), length, atol=1e-4)
    assert np.allclose(Space(concepts)(some), parts[1] / 2, atol=1e-5)


def test_a_projector_is_read_as_it_was_written_or_told(tmp_path: Path) -> None:
    x, y = DRAW.normal(size=(9, 4)).astype(np.float32), DRAW.normal(size=(9, 2)).astype(np.float32)
    projector = Projector.fit(x, y)
    projector.save(tmp_path)
    again = Projector.load(tmp_path)
    assert again.sha256 == projector.sha256
    assert np.array_equal(again(x), projector(x))
    assert Projector.fit(x, y, penalty=1).sha256 != projector.sha256
    np.save(tmp_path / "projector.weights.npy", np.zeros((3, 2), np.float32))
    with pytest.raises(SpecError, match="holds no projector"):
        Projector.load(tmp_path)
    with pytest.raises(SpecError, match="holds no projector"):
        Projector.load(tmp_path / "none")
    with pytest.raises(ValueError, match="two pairs at least"):
        Projector.fit(x[:1], y[:1])


def test_at_its_ends_a_mix_is_the_picture_and_the_words_exactly() -> None:
    picture, words = np.array([0.6, 0.8], np.float32), np.array([1, 0], np.float32)
    assert weighted(picture, words, 0.0) is picture
    assert weighted(picture, words, 1.0) is words
    assert weighted(None, words, 0.3) is words
    assert weighted(picture, None, 0.9) is picture
    assert weighted(None, None, 0.5) is None
    mixed = weighted(picture, words, 0.5)
    assert np.allclose(mixed, np.array([1.6, 0.8]) / np.hypot(1.6, 0.8))


def test_a_direction_by_hand_and_its_ends() -> None:
    picture, before, after = (np.array(each, np.float32) for each in ((0.6, 0.8), (1, 0), (0, 1)))
    assert along(picture, before, after, share=1, of_words=1) is after, "a caption that is rewritten, and no picture"
    assert np.allclose(along(picture, before, after, share=0, of_picture=0), picture)
    assert np.allclose(along(picture, before, after, share=1, of_words=0), before)
    half = along(picture, before, after, share=0.5, of_picture=1, of_words=0.5)
    moved = 0.5 * np.array([0.6 - 1, 0.8 + 1]) + 0.5 * np.array([1 - 0.5, 0.5])
    assert np.allclose(half, moved / np.hypot(*moved))
    nearer = [along(picture, before, after, of_picture=0, of_words=each) @ after for each in (0.0, 0.5, 1.0)]
    assert nearer == sorted(nearer), "the further it goes, the nearer it comes"


@pytest.mark.parametrize("fitted", [False, True])
def test_a_number_that_is_none_is_told_and_finds_nothing(fitted: bool) -> None:
    features, concepts = seen(3), DRAW.normal(size=(1000, 8)).astype(np.float32)
    projector = (
        Projector.fit(inputs(seen(9), concepts), DRAW.normal(size=(9, 8)).astype(np.float32)) if fitted else None
    )
    space = Space(concepts, projector)
    assert np.isfinite(space(features)).all()
    features.pooled[1, 4] = features.logits[1, 4] = np.nan
    with pytest.raises(
        ContractError, match=r"not finite: .* half precision, in which some models give none\. Take them in"
    ):
        space(features)
