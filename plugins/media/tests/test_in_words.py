"""Pictures as words in postings, and words against patches: by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ragline_media.methods.in_words import PicturesInWords, word_weights
from ragline_media.methods.vectors import score_by_tokens

NAMES = ["cat", "dog", "red", "sea"]


def some(*shape: int, seed: int) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def test_weights_by_hand() -> None:
    """Two pictures: of each word one is a deviation above the mean and one below, so weights are 2 and 1 / e."""
    pictures = np.eye(2, 3, dtype=np.float32)
    words = np.array([[1, 0, 0], [0, 1, 0], [0.6, 0.8, 0]], np.float32)
    high, low = 2.0, 1 / np.e
    expected = np.array([[high, low, low], [low, high, high]])
    assert word_weights(pictures, words) == pytest.approx(expected, abs=1e-5)
    assert word_weights(pictures, words, most=1) == pytest.approx(np.array([[high, 0, 0], [0, high, 0]]), abs=1e-5)


def test_a_word_that_is_like_all_pictures_alike_says_nothing_of_one() -> None:
    pictures = np.eye(2, 3, dtype=np.float32)
    words = np.array([[0.5, 0.5, np.sqrt(0.5)]], np.float32)
    assert word_weights(pictures, words) == pytest.approx(np.ones((2, 1)))


def test_weights_sum_to_the_score() -> None:
    names = [f"w{n}" for n in range(40)]
    weights = word_weights(some(9, 16, seed=1), some(40, 16, seed=2), most=12)
    assert (np.count_nonzero(weights, axis=1) == 12).all()
    postings = PicturesInWords(names, weights)
    question = " ".join(names[::3]) + " none, W0!"
    found = postings.scores(question)
    assert found == pytest.approx(weights[:, ::3].sum(axis=1), rel=1e-6)
    for place in range(9):
        parts = postings.parts(question, place)
        assert sum(parts.values()) == pytest.approx(found[place], rel=1e-6)
        assert parts == {names[n]: pytest.approx(weights[place, n]) for n in range(0, 40, 3) if weights[place, n]}


def test_a_question_without_words_of_a_picture_finds_nothing() -> None:
    postings = PicturesInWords(NAMES, np.array([[0, 2, 0, 1], [0, 0, 0, 0]], np.float32))
    assert postings.scores("a CAT and a bird").tolist() == [0, 0]
    assert postings.scores("dog, dog, sea").tolist() == [3, 0]
    assert postings.parts("dog", 1) == {}


def test_weights_of_other_words_are_refused() -> None:
    for weights in (np.zeros((2, 3), np.float32), np.full((2, 4), -1, np.float32)):
        with pytest.raises(ValueError, match="4 words"):
            PicturesInWords(NAMES, weights)


def test_tokens_by_hand() -> None:
    """Patches: best words .8 and 1; words: best patches 1 and .8. What fills up is like a patch and counts for nothing."""
    patches = np.array([[1, 0], [0.8, 0.6]], np.float32)
    words = np.array([[0, 1], [0.8, 0.6], [1, 0]], np.float32)
    counted = np.array([True, True, False])
    assert score_by_tokens(patches, words, counted) == pytest.approx(((0.8 + 1) / 2 + (0.6 + 1) / 2) / 2)
    assert score_by_tokens(patches, words[:2], counted[:2]) == score_by_tokens(patches, words, counted)
    with pytest.raises(ValueError, match="one patch and one word"):
        score_by_tokens(patches, words, np.zeros(3, bool))


def test_tokens_score_as_the_loss_that_teaches_them() -> None:
    torch = pytest.importorskip("torch")
    losses = pytest.importorskip("ragline_train.losses.parts")
    patches, words, counted = some(3, 4, 8, seed=3), some(2, 5, 8, seed=4), np.arange(5) < np.array([[3], [5]])
    by_patches, by_words = losses.token_scores(*map(torch.from_numpy, (patches, words, counted)))
    expected = ((by_patches + by_words) / 2).numpy()
    found = [[score_by_tokens(*each) for each in zip([one] * 2, words, counted, strict=True)] for one in patches]
    assert np.array(found) == pytest.approx(expected, abs=1e-6)
