"""Methods without training, by hand and on pictures that are drawn as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from generators.llm.scripted import ScriptedLLM
from ragline_media.methods.asked_again import PROMPT, Entity, Weighted, anchored, by_yes_or_no, joined
from ragline_media.methods.described import described, frequent_name, label_vector, rare_names
from ragline_media.methods.examples import Blend, Made, conditioned
from ragline_media.methods.vectors import among_texts, matched_parts, moved, nearest_texts, score_by_parts

Vectors = NDArray[np.float32]


def some(*shape: int, seed: int) -> Vectors:
    vectors = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


# ---- names


def test_a_rare_name_gives_way_to_a_frequent_one() -> None:
    counts = {"aubergine": 3, "eggplant": 40, "brinjal": 1}
    assert frequent_name("aubergine", ["brinjal", "eggplant"], counts) == "eggplant"
    assert frequent_name("eggplant", ["aubergine"], counts) == "eggplant"
    assert frequent_name("aubergine", ["eggplant"], {"eggplant": 4}) == "aubergine", "too seldom to be sure"
    assert frequent_name("aubergine", [], counts) == "aubergine"


def test_the_tail_is_the_rarest_fifth() -> None:
    counts = {name: number for number, name in enumerate("abcdefghij")}
    assert rare_names(counts) == {"a", "b"}
    assert rare_names({"b": 1, "a": 1, "c": 1, "d": 2, "e": 3}) == {"a"}


# ---- policy


def surprise(question: Vectors, gallery: Vectors, worth: NDArray[np.float64], first: Sequence[int]) -> float:
    """The loss of the paper: advantages times cross entropy over the whole gallery."""
    scores = (gallery @ question).astype(np.float64)
    total = np.log(np.exp(scores).sum())
    return float(sum((worth[n] - worth.mean()) * (total - scores[place]) for n, place in enumerate(first)))


def test_a_step_goes_down_the_gradient_of_the_paper() -> None:
    question, gallery = some(6, seed=1), some(30, 6, seed=2)
    rewards = np.random.default_rng(3).random(30)
    first = np.argsort(-(gallery @ question), kind="stable")[:12]
    worth = np.maximum(2.5 * rewards[first], 0)
    slope = np.array(
        [
            (surprise(question + e, gallery, worth, first) - surprise(question - e, gallery, worth, first)) / 2e-3
            for e in 1e-3 * np.eye(6, dtype=np.float32)
        ]
    )
    expected = question - 0.05 * slope
    assert moved(question, gallery, rewards, step=0.05) == pytest.approx(expected / np.linalg.norm(expected), abs=1e-4)


def test_no_step_leaves_a_question_as_it_is() -> None:
    question, gallery = some(6, seed=1), some(30, 6, seed=2)
    assert moved(question, gallery, np.random.default_rng(3).random(30), step=0) == pytest.approx(question)
    assert moved(question, gallery, np.full(30, 0.4)) == pytest.approx(question, abs=1e-6), (
        "all alike, nothing to prefer"
    )
    with pytest.raises(ValueError, match="29 rewards for 30"):
        moved(question, gallery, np.zeros(29))


def test_small_steps_towards_a_better_tower_find_more() -> None:
    """A weak view of 200 things, and a clear one: steps of .01 to .05 lose nothing, and those of .05 gain."""
    drawn = np.random.default_rng(4)
    things = some(200, 32, seed=5)
    weak = things + 0.35 * drawn.normal(size=things.shape).astype(np.float32)
    weak /= np.linalg.norm(weak, axis=1, keepdims=True)
    asked = things + 0.2 * drawn.normal(size=things.shape).astype(np.float32)
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)

    def right(step: float) -> float:
        ranked = [int((weak @ moved(question, weak, things @ question, step=step)).argmax()) for question in asked]
        return float((np.array(ranked) == np.arange(200)).mean())

    before = right(0)
    assert right(0.01) >= before
    assert right(0.05) >= before + 0.01


# ---- parts


def scene(seed: int) -> tuple[Vectors, Vectors, Vectors, Vectors]:
    """A picture of two things in two colours, in a space that adds up what it sees: its parts, its own vector, the phrases of its
    right caption and those with the colours changed."""
    drawn = np.random.default_rng(seed)
    words = some(40, 64, seed=99)
    (one, other), (red, blue) = drawn.choice(20, 2, replace=False), 20 + drawn.choice(20, 2, replace=False)

    def phrase(thing: int, colour: int) -> Vectors:
        both = words[thing] + words[colour]
        return (both / np.linalg.norm(both)).astype(np.float32)

    right = np.stack([phrase(one, red), phrase(other, blue)])
    wrong = np.stack([phrase(one, blue), phrase(other, red)])
    noise = 0.05 * drawn.normal(size=right.shape).astype(np.float32)
    parts = right + noise
    parts /= np.linalg.norm(parts, axis=1, keepdims=True)
    return parts.astype(np.float32), np.stack([words[one], words[other]]), right, wrong


@pytest.mark.parametrize(("form", "least", "most"), [("published", 0.3, 0.7), ("entities", 0.95, 1.0)])
def test_who_has_which_colour(form: str, least: float, most: float) -> None:
    """A tower that adds up words sees no difference between both captions; neither does the published form, and ours does."""
    told = []
    for seed in range(60):
        parts, nouns, right, wrong = scene(seed)
        picture = parts.sum(axis=0) / np.linalg.norm(parts.sum(axis=0))
        own = parts[matched_parts(nouns, parts)]
        scores = [
            score_by_parts(
                phrases.sum(axis=0) / np.linalg.norm(phrases.sum(axis=0)),
                picture,
                phrases,
                own,
                form=form,  # type: ignore[arg-type]
            )
            for phrases in (right, wrong)
        ]
        told.append(scores[0] > scores[1])
    assert least <= np.mean(told) <= most


def test_a_text_without_things_is_compared_as_a_whole() -> None:
    text, picture = some(8, seed=1), some(8, seed=2)
    nothing = np.zeros((0, 8), np.float32)
    assert score_by_parts(text, picture, nothing, nothing) == pytest.approx(float(text @ picture))


def test_forms_of_one_part_by_hand() -> None:
    """One part: published and softmax weights are 1, so both compare with the middle of picture and part."""
    text, picture, part = np.eye(3, dtype=np.float32)
    phrase = (text + part) / np.sqrt(2, dtype=np.float32)
    for form in ("published", "softmax"):
        assert score_by_parts(text, picture, phrase[None], part[None], form=form) == 0  # type: ignore[arg-type]
    assert score_by_parts(text, picture, phrase[None], part[None]) == pytest.approx(0.5 / np.sqrt(2))


# ---- among texts


def test_a_medium_among_texts_by_hand() -> None:
    memory = np.eye(2, dtype=np.float32)
    medium = np.array([[0.8, 0.6]], np.float32)
    shares = np.exp(np.array([0.8, 0.6]) / 0.1)
    expected = shares / np.linalg.norm(shares)
    assert among_texts(medium, memory, temperature=0.1)[0] == pytest.approx(expected, abs=1e-6)
    assert among_texts(medium, memory, temperature=1e-4)[0] == pytest.approx([1, 0])
    assert nearest_texts(medium, memory, k=2).tolist() == [[0, 1]]
    with pytest.raises(ValueError, match="no text"):
        among_texts(medium, memory[:0])


def test_a_medium_comes_nearer_to_its_caption() -> None:
    """Media that lie apart from all texts, by a gap between both sides."""
    texts = some(100, 32, seed=6)
    gap = np.zeros(32, np.float32)
    gap[0] = 1.0
    media = texts + gap
    media /= np.linalg.norm(media, axis=1, keepdims=True)
    before, after = (media * texts).sum(axis=1), (among_texts(media, texts) * texts).sum(axis=1)
    assert (after > before).mean() > 0.95


# ---- a picture as an anchor


def test_a_picture_gives_its_name_to_a_question() -> None:
    found = [
        Entity(name="Saturn V", about="A rocket of the Apollo programme.", score=0.8),
        Entity(name="Saturn V", about="Another view.", score=0.79),
        Entity(name="Ariane 5", about="A rocket of Europe.", score=0.78),
        Entity(name="A tower", about="Of steel.", score=0.6),
    ]
    made = anchored("Where was it launched from?", found, floor=0.3)
    assert [each.text for each in made] == [
        "Where was it launched from? Saturn V A rocket of the Apollo programme.",
        "Where was it launched from? Ariane 5 A rocket of Europe.",
        "Where was it launched from?",
    ]
    first, second = np.exp([0, -0.02 / 0.05])
    assert [each.weight for each in made] == pytest.approx([first / (first + second), second / (first + second), 0.5])


def test_a_picture_like_nothing_changes_nothing() -> None:
    alone = [Weighted(text="Where?", weight=1.0)]
    assert anchored("Where?", []) == alone
    assert anchored("Where?", [Entity(name="x", about="y", score=0.2)], floor=0.3) == alone


def test_lists_are_joined_by_hand() -> None:
    one, other = Weighted(text="a", weight=1.0), Weighted(text="b", weight=0.5)
    assert joined([(one, ["x", "y"]), (other, ["y", "z"])]) == ["y", "x", "z"]
    assert joined([(one, ["b"]), (one, ["a"])]) == ["a", "b"]


# ---- described


def test_labels_in_the_words_of_a_model() -> None:
    model = ScriptedLLM(
        replies=(
            '["a dry click", "a short crack"]',
            "no list at all, sorry",
            '["a twig in the wood"]',
            '["a fire at night"]',
        )
    )
    clicks, none = described(model, ["mouse_click", "hum"], descriptions=2, scenes=1)
    assert clicks.texts == ("a twig in the wood", "a fire at night")
    assert (clicks.failed, none.texts, none.failed) == (0, (), 1)
    assert model.batches == [2, 2]
    assert "mouse click" in model.seen[0][1].content
    assert "a short crack" in model.seen[3][1].content
    assert described(ScriptedLLM(), []) == []


def test_the_bare_label_counts_as_one_text() -> None:
    vectors = {"hum": [1.0, 0.0], "a low tone": [0.0, 1.0], "a drone": [0.0, 1.0]}

    def encode(texts: Sequence[str]) -> Vectors:
        return np.array([vectors[text] for text in texts], np.float32)

    assert label_vector(encode, "hum", []) == pytest.approx([1, 0])
    assert label_vector(encode, "hum", ["a low tone", "a drone"]) == pytest.approx(np.array([1, 2]) / np.sqrt(5))


class Recorded:
    """Keeps what it was given."""

    def __init__(self, wave: NDArray[np.float32]) -> None:
        self.wave, self.given = wave, list[tuple[str, list[NDArray[np.float32]]]]()

    def make(self, text: str, examples: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        self.given.append((text, [*examples]))
        return self.wave


class TestExamplesOfSounds:
    names = ("dog", "rain", "bell")
    gallery = np.eye(3, dtype=np.float32)

    def made(self, synthesiser: Any, **more: Any) -> Made:
        return conditioned(
            "a bell in the rain",
            encode=lambda said: np.array([[0.0, 0.6, 0.8]] * len(said), np.float32),
            gallery=self.gallery,
            names=self.names,
            load=lambda name: np.sin(np.arange(64) * (1 + self.names.index(name)) * 0.2).astype(np.float32),
            synthesiser=synthesiser,
            **more,
        )

    def test_the_nearest_sounds_go_to_the_maker_best_first(self) -> None:
        maker = Recorded(np.zeros(4, np.float32))
        made = self.made(maker, k=2)
        assert made.examples == ("bell", "rain")
        assert made.scores == pytest.approx((0.8, 0.6))
        [(text, examples)] = maker.given
        assert text == "a bell in the rain"
        assert np.allclose(examples[0], np.sin(np.arange(64) * 0.6), atol=1e-6)

    def test_the_stand_in_has_the_spectrum_of_its_examples(self) -> None:
        tone = np.sin(2 * np.pi * 8 * np.arange(256) / 256).astype(np.float32)
        wave = Blend().make("anything", [tone, tone])
        assert np.abs(np.fft.rfft(wave)).argmax() == 8
        assert np.array_equal(wave, Blend().make("else", [tone, tone]))
        assert len(Blend().make("anything", [])) == 0

    def test_what_is_no_sound_is_refused(self) -> None:
        for wave in (np.array([np.nan], np.float32), np.array([2.0], np.float32), np.zeros((2, 2), np.float32)):
            with pytest.raises(ValueError, match="gave no sound"):
                self.made(Recorded(wave))
        with pytest.raises(ValueError, match="1 names for 3 sounds"):
            conditioned(
                "x",
                encode=lambda said: self.gallery,
                gallery=self.gallery,
                names=["a"],
                load=None,
                synthesiser=Blend(),  # type: ignore[arg-type]
            )


# ---- asked again of a model that sees


class Table:
    """Says of each picture what was written down for it; it stands in for a model, which is not here."""

    def __init__(self, answers: dict[bytes, tuple[float, float]]) -> None:
        self._answers = answers
        self.asked: list[tuple[str, int]] = []

    def yes_or_no(self, prompt: str, pictures: Sequence[bytes]) -> list[tuple[float, float]]:
        self.asked.append((prompt, len(pictures)))
        return [self._answers[each] for each in pictures]


def test_what_a_model_affirms_comes_first() -> None:
    """By hand: e to 1 is .731, 1 to 3 is .25; the fourth is not judged, and what was never said is a half."""
    ln = np.log
    seer = Table({b"a": (0.0, 1.0), b"b": (ln(0.1), ln(0.3)), b"c": (1.0, 0.0), b"e": (-np.inf, -np.inf)})
    found = by_yes_or_no("red?", [b"a", b"b", b"c", b"d", b"e"], [0.9, 0.8, 0.7, 0.1, 0.6], seer=seer, depth=4)
    assert seer.asked == [(PROMPT.format(question="red?"), 4)]
    assert [place for place, _ in found] == [2, 4, 0, 1, 3]
    e = np.e
    assert [score for _, score in found] == pytest.approx([e / (1 + e), 0.5, 1 / (1 + e), 0.25, 0])


def test_a_judgement_may_count_for_a_part() -> None:
    seer = Table({b"a": (0.0, 0.0), b"b": (0.0, 0.0), b"c": (0.0, -np.inf)})
    pictures, scores = [b"a", b"b", b"c"], [0.25, 0.75, 0.5]
    assert by_yes_or_no("", pictures, scores, seer=seer, share=0.5) == [(1, 0.75), (2, 0.75), (0, 0.25)]
    assert by_yes_or_no("", pictures, scores, seer=seer, share=0.0) == [(1, 1.0), (2, pytest.approx(0.5)), (0, 0.0)]
    assert by_yes_or_no("", [], [], seer=seer) == []
    assert len(seer.asked) == 2


def test_answers_that_are_none_are_told() -> None:
    seer = Table({b"a": (float("nan"), 0.0)})
    with pytest.raises(ValueError, match="no logarithms of two words for 1 picture"):
        by_yes_or_no("", [b"a"], [1.0], seer=seer)
    with pytest.raises(ValueError, match="2 scores for 1 pictures"):
        by_yes_or_no("", [b"a"], [1.0, 2.0], seer=seer)
