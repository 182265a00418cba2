from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.core.binomial import upper_bound
from rag.stages.risk.bounds import Choice, Curve, NotReached, Step, choose, curve_of, least_risk


def at_most(wrong: int, n: int, p: float) -> float:
    """P(X <= wrong), X binomial: the definition, term by term."""
    return math.fsum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(wrong + 1))


class TestUpperBound:
    def test_none_wrong_is_worked_by_hand(self) -> None:
        for n in (1, 10, 59, 300):
            assert upper_bound(0, n, 0.95) == pytest.approx(1 - 0.05 ** (1 / n))

    def test_published_values(self) -> None:
        """Two-sided 95% intervals of Clopper and Pearson end at one-sided bounds of 97.5%."""
        assert upper_bound(0, 10, 0.975) == pytest.approx(0.3085, abs=5e-5)
        assert upper_bound(5, 10, 0.975) == pytest.approx(0.8129, abs=5e-5)
        assert upper_bound(10, 100, 0.975) == pytest.approx(0.1762, abs=5e-5)

    def test_nothing_given_or_all_wrong_bounds_nothing(self) -> None:
        assert upper_bound(0, 0, 0.95) == upper_bound(7, 7, 0.95) == 1.0

    @given(st.integers(1, 200), st.floats(0.5, 0.99), st.data())
    def test_it_is_the_risk_at_which_so_few_wrong_answers_are_as_unlikely_as_said(
        self, n: int, confidence: float, data: st.DataObject
    ) -> None:
        wrong = data.draw(st.integers(0, n - 1))
        assert at_most(wrong, n, upper_bound(wrong, n, confidence)) == pytest.approx(1 - confidence, abs=1e-9)


def steps(*counts: tuple[int, int]) -> Curve:
    """A curve whose fit part looked the same, of 100 questions."""
    made = [
        Step(threshold=1 - i / 10, fit_given=given, fit_wrong=wrong, given=given, wrong=wrong)
        for i, (given, wrong) in enumerate(counts)
    ]
    return Curve(steps=tuple(made), n=100, n_fit=100)


class TestChoose:
    def test_the_loosest_that_is_reached(self) -> None:
        chosen = choose(steps((40, 0), (60, 1), (80, 2), (100, 20)), risk=0.1, confidence=0.95)
        assert isinstance(chosen, Choice)
        assert (chosen.given, chosen.wrong, chosen.coverage, chosen.threshold) == (80, 2, 0.8, pytest.approx(0.8))
        assert chosen.bound == pytest.approx(upper_bound(2, 80, 0.95))

    def test_the_first_that_fails_ends_it(self) -> None:
        """40 with none wrong pass, 60 with 8 do not; so 100 with 8, which would pass, are not tried."""
        curve = steps((40, 0), (60, 8), (100, 8))
        assert upper_bound(8, 100, 0.95) < 0.15 < upper_bound(8, 60, 0.95)
        chosen = choose(curve, risk=0.15, confidence=0.95)
        assert isinstance(chosen, Choice)
        assert chosen.given == 40

    def test_few_answers_prove_nothing_so_the_tests_begin_further_on(self) -> None:
        assert isinstance(choose(steps((5, 0), (60, 0)), risk=0.1, confidence=0.95), Choice)

    def test_a_failure_says_what_could_be_kept(self) -> None:
        curve = steps((40, 10), (100, 50))
        missed = choose(curve, risk=0.1, confidence=0.95)
        assert isinstance(missed, NotReached)
        assert missed.least == pytest.approx(upper_bound(10, 40, 0.95))
        assert isinstance(choose(curve, risk=missed.least, confidence=0.95), Choice)
        assert isinstance(choose(curve, risk=missed.least - 1e-6, confidence=0.95), NotReached)

    def test_who_refuses_nearly_everything_has_not_reached_it(self) -> None:
        curve = steps((40, 0), (100, 50))
        missed = choose(curve, risk=0.1, confidence=0.95, least_coverage=0.5)
        assert isinstance(missed, NotReached)
        assert "40.0%" in missed.why
        assert missed.least == pytest.approx(upper_bound(50, 100, 0.95))

    def test_nothing_was_ever_given(self) -> None:
        nothing = Curve(steps=(Step(threshold=0.0, fit_given=0, fit_wrong=0, given=0, wrong=0),), n=50, n_fit=50)
        assert choose(nothing, risk=0.1, confidence=0.95) == NotReached(
            why="no threshold keeps the share of wrong answers at 0.1 or less with confidence 0.95", least=None
        )

    @pytest.mark.parametrize("wrong", [{"risk": 0.0}, {"risk": 1.0}, {"confidence": 1.0}, {"least_coverage": 1.5}])
    def test_shares_are_shares(self, wrong: dict[str, float]) -> None:
        with pytest.raises(ValueError, match=r"from 0 to 1|between 0 and 1"):
            choose(steps((40, 0)), **{"risk": 0.1, "confidence": 0.95, **wrong})

    @given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=8), st.floats(0.02, 0.9))
    def test_what_is_chosen_keeps_its_word_on_its_own_data(self, more: list[tuple[int, int]], risk: float) -> None:
        given_, wrong, made = 0, 0, []
        for i, (right_more, wrong_more) in enumerate(more):
            given_, wrong = given_ + right_more + wrong_more, wrong + wrong_more
            made.append(Step(threshold=-i, fit_given=given_, fit_wrong=wrong, given=given_, wrong=wrong))
        curve = Curve(steps=tuple(made), n=max(given_, 1), n_fit=max(given_, 1))
        chosen = choose(curve, risk=risk, confidence=0.9)
        least = least_risk(curve, confidence=0.9)
        if isinstance(chosen, Choice):
            assert chosen.risk <= chosen.bound <= risk
            assert least is not None
            assert least <= risk
        else:
            assert least == chosen.least
            assert least is None or least > risk


class Population:
    """Answers whose confidence is known to be good for so much: wrong with probability 1 - confidence ** sharpness."""

    def __init__(self, seed: int, *, sharpness: float = 1.0) -> None:
        self.chance, self.sharpness = random.Random(seed), sharpness

    def draw(self, n: int) -> tuple[list[float], list[bool]]:
        confidences = [self.chance.random() for _ in range(n)]
        return confidences, [self.chance.random() > c**self.sharpness for c in confidences]

    def risk(self, threshold: float) -> float:
        """Of all answers at or above a threshold: 1 less the mean of c ** sharpness over [threshold, 1]."""
        power = self.sharpness + 1
        return 1 - (1 - threshold**power) / (power * (1 - threshold))


@pytest.mark.parametrize(("sharpness", "risk"), [(0.2, 0.1), (0.2, 0.15), (0.5, 0.2), (1.0, 0.3)])
def test_the_bound_holds_in_95_of_100_resamples(sharpness: float, risk: float) -> None:
    """The promise itself: labelled questions drawn again and again, the threshold's risk looked up in the population."""
    population = Population(7, sharpness=sharpness)
    broken = reached = 0
    for _ in range(400):
        fit, fit_wrong = population.draw(80)
        test, wrong = population.draw(120)
        curve = curve_of(test, wrong, n=120, fit_confidences=fit, fit_wrong=fit_wrong, n_fit=80)
        chosen = choose(curve, risk=risk, confidence=0.95)
        if isinstance(chosen, Choice):
            reached += 1
            broken += population.risk(chosen.threshold) > risk
    assert reached > 50
    assert broken <= 20


def test_choosing_the_best_looking_threshold_would_break_the_promise() -> None:
    """What the order is for: taking the loosest whose own risk looks low enough is wrong far more often than said."""
    population = Population(7, sharpness=0.2)
    broken = 0
    for _ in range(400):
        test, wrong = population.draw(120)
        curve = curve_of(test, wrong, n=120, fit_confidences=test, fit_wrong=wrong, n_fit=120)
        looks = [s for s in curve.steps if s.given and s.wrong / s.given <= 0.1]
        broken += bool(looks) and population.risk(looks[-1].threshold) > 0.1
    assert broken > 40
