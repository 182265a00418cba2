from __future__ import annotations

import string
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.evaluate.beir import load_beir
from rag.evaluate.text_overlap import best_of, exact_match, normalised_words, rouge_l, token_f1

ASCII = st.text(alphabet=string.ascii_letters + string.digits + string.punctuation + " ", max_size=40)
SENTENCES = st.lists(
    st.sampled_from(["the", "a", "An", "cat.", "Cat", "dog", "can't", "x-ray", "1,000", "!"]), max_size=12
).map(" ".join)


@pytest.mark.parametrize(
    ("answer", "reference", "em", "f1"),
    [
        ("The Eiffel Tower!", "eiffel tower", 1.0, 1.0),
        ("a  the an", "", 1.0, 1.0),
        ("", "Paris", 0.0, 0.0),
        ("14 December 1972", "December 1972", 0.0, 2 * (2 / 3 * 1) / (2 / 3 + 1)),
        ("new new york", "new york york", 0.0, 2 / 3),  # two words in common, counted with repetitions, of three
        ("Theatre", "atre", 0.0, 0.0),  # an article is a word, not a part of one
    ],
)
def test_exact_match_and_f1_are_those_worked_by_hand(answer: str, reference: str, em: float, f1: float) -> None:
    assert exact_match(answer, reference) == em
    assert token_f1(answer, reference) == pytest.approx(f1)


@given(st.one_of(ASCII, SENTENCES), st.one_of(ASCII, SENTENCES))
def test_on_ascii_they_are_those_of_an_independent_implementation(answer: str, reference: str) -> None:
    from transformers.data.metrics.squad_metrics import compute_exact, compute_f1

    assert exact_match(answer, reference) == compute_exact(reference, answer)
    assert token_f1(answer, reference) == pytest.approx(compute_f1(reference, answer))


@given(st.one_of(ASCII, SENTENCES), st.one_of(ASCII, SENTENCES))
def test_rouge_on_ascii_is_that_of_an_independent_implementation(answer: str, reference: str) -> None:
    from rouge_score.rouge_scorer import RougeScorer

    wanted = RougeScorer(["rougeL"], use_stemmer=False).score(reference, answer)["rougeL"].fmeasure
    assert rouge_l(answer, reference) == pytest.approx(wanted)


def test_rouge_is_that_worked_by_hand() -> None:
    # the longest common subsequence is "police the gunman": 3 of 4 words on each side
    assert rouge_l("police killed the gunman", "police kill the gunman") == pytest.approx(0.75)
    # order counts: "the gunman" of 4 and 4
    assert rouge_l("the gunman kill police", "police kill the gunman") == pytest.approx(0.5)
    assert rouge_l("can't stop", "can t") == pytest.approx(2 * 2 / (3 + 2))
    assert rouge_l("", "police") == rouge_l("police", "...") == 0.0


def test_a_script_without_blanks_is_compared_by_character() -> None:
    assert normalised_words("黑豹队丢了308分。", language="zh") == ["黑", "豹", "队", "丢", "了", "308", "分"]
    assert exact_match("３０８ 分", "308分", language="zh") == 1.0
    assert token_f1("308分", "308", language="zh") == pytest.approx(2 / 3)
    assert rouge_l("丢了308分", "丢308分") == pytest.approx(2 * 3 / (4 + 3))
    assert token_f1("カタカナ", "カナ", language="ja") == pytest.approx(2 * 2 / (4 + 2))
    assert token_f1("กรุงเทพ", "กรุงเทพ", language="th") == 1.0


def test_articles_are_those_of_the_language() -> None:
    assert exact_match("Der Löwe", "löwe", language="de") == 1.0
    assert exact_match("die Katze", "Katze", language="en") == 0.0
    assert exact_match("an der Spree", "Spree", language="de") == 0.0  # "an" is no German article
    assert exact_match("¿La Habana?", "habana", language="es") == 1.0
    assert normalised_words("the lion", language="fi") == ["the", "lion"]


def test_words_keep_the_marks_that_sit_on_them() -> None:
    assert normalised_words("हिन्दी में।", language="hi") == ["हिन्दी", "में"]
    assert rouge_l("हिन्दी", "हिन्दी") == 1.0


def test_of_several_references_the_best_counts() -> None:
    assert best_of(token_f1, "Stanley Hall", ["G. Stanley Hall", "Stanley Hall"]) == 1.0


@pytest.mark.data
def test_on_real_answers_f1_and_rouge_are_those_of_independent_implementations(eval_data: Path) -> None:
    from rouge_score.rouge_scorer import RougeScorer
    from transformers.data.metrics.squad_metrics import compute_exact, compute_f1

    texts = [text for item in load_beir(eval_data / "clapnq").items() for text in item.answers if text.isascii()]
    rouge = RougeScorer(["rougeL"], use_stemmer=False)
    for answer, reference in pairwise(texts):
        assert exact_match(answer, reference) == compute_exact(reference, answer)
        assert token_f1(answer, reference) == pytest.approx(compute_f1(reference, answer))
        assert rouge_l(answer, reference) == pytest.approx(rouge.score(reference, answer)["rougeL"].fmeasure)
    assert len(texts) > 200
