"""The arithmetic of the verdicts benchmark, by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from benchmarks.verdicts import Scored, auroc, balanced, chosen, crossed, figures, precision_recall
from benchmarks.verdicts_cases import statement


def half(gold: str, support: Sequence[float], against: Sequence[float] = ()) -> Scored:
    names = {"s": "supported", "c": "contradicted", "u": "unsupported"}
    return Scored(
        gold=np.array([names[letter] for letter in gold]),
        support=np.array(support, dtype=np.float64),
        against=np.array(against or [-np.inf] * len(gold), dtype=np.float64),
        groups=np.array([str(place) for place in range(len(gold))]),
        first=np.array([place % 2 == 0 for place in range(len(gold))]),
    )


def test_precision_recall_and_area() -> None:
    true, said = np.array([True, True, False, False]), np.array([True, False, True, False])
    assert precision_recall(true, said) == (0.5, 0.5, 0.5)
    assert balanced(true, said) == 0.5
    assert math.isnan(precision_recall(true, ~(true | ~true))[0])
    assert auroc(true, np.array([0.9, 0.4, 0.4, 0.1])) == (3 + 0.5) / 4
    assert math.isnan(auroc(~(true | ~true), np.zeros(4)))


def test_thresholds_separate_what_can_be_separated() -> None:
    one = half("sscuc", [0.9, 0.8, 0.3, 0.2, 0.1], [0.1, 0.1, 0.9, 0.2, 0.8])
    assert chosen([one]) == (0.8, 0.8)
    assert list(one.said(0.8, 0.8)) == ["supported", "supported", "contradicted", "unsupported", "contradicted"]


def test_both_sets_weigh_the_same() -> None:
    large, small = half("ssssu", [0.4, 0.4, 0.4, 0.4, 0.1]), half("su", [0.9, 0.5])
    assert chosen([large])[0] == 0.4
    assert chosen([large, small, small]) == (0.9, float("inf"))


def test_a_means_that_cannot_tell_against_has_no_figures_for_it() -> None:
    two = half("scu", [0.9, 0.1, 0.2])
    told = figures(two, two.said(0.5, float("inf")))
    assert "precision contradicted" not in told
    assert told["precision supported"]["value"] == 1.0
    three = half("scu", [0.9, 0.1, 0.2], [0.0, 0.9, 0.1])
    found = figures(three, three.said(0.5, 0.5))
    assert found["recall contradicted"]["value"] == found["precision unsupported"]["value"] == 1.0


def test_each_half_is_judged_by_the_threshold_of_the_other() -> None:
    cases = half("sssuus", [0.9, 0.5, 0.8, 0.1, 0.3, 0.4])  # the first half wants 0.8, the second 0.4
    [said] = crossed([cases])
    assert list(said) == ["supported", "unsupported", "supported", "unsupported", "unsupported", "unsupported"]


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("Where is Fort Buchanan located?", "Fort Buchanan is located in A."),
        ('Who is the artist of the album "VII"?', 'The artist of the album "VII" is A.'),
        ("Who designed the Gunbus?", "A designed the Gunbus."),
        ("What political party is Senator Tate a member of?", "Senator Tate is a member of the A party."),
        ("When did the Battle of Ramla take place?", None),
    ],
)
def test_a_question_and_its_answer_become_a_sentence(question: str, said: str | None) -> None:
    assert statement(question, "A") == said
