"""What a calibration says of a score and of an answer's signals."""

from __future__ import annotations

import pytest

from rag.stages.risk.logistic import Logistic
from rag.stages.risk.relevance import Scale


def test_a_chance_is_one_whatever_the_signal() -> None:
    model = Logistic(names=("s",), means=(0.0,), spreads=(1.0,), weights=(1e9,), intercept=0.0)
    assert 0 < model({"s": -1e9}) < 1e-9
    assert 1 - 1e-9 < model({"s": 1e9}) < 1


def test_a_signal_that_is_not_there_counts_as_its_mean() -> None:
    model = Logistic(names=("s", "t"), means=(3.0, 1.0), spreads=(2.0, 1.0), weights=(0.7, -0.2), intercept=0.5)
    assert model({}) == model({"s": None}) == model({"s": 3.0, "t": 1.0}) == pytest.approx(1 / (1 + 2.718281828**-0.5))


def test_relevance_is_straight_between_points_and_level_outside() -> None:
    scale = Scale(scores=(1.0, 2.0, 4.0), relevance=(0.0, 0.5, 0.75))
    assert [scale(score) for score in (-9.0, 1.0, 1.5, 3.0, 9.0)] == [0.0, 0.0, 0.25, 0.625, 0.75]


@pytest.mark.parametrize(
    ("scores", "relevance"),
    [((), ()), ((1.0,), ()), ((2.0, 1.0), (0.0, 1.0)), ((1.0, 2.0), (0.5, 0.4)), ((1.0,), (2.0,))],
)
def test_a_scale_that_falls_is_none(scores: tuple[float, ...], relevance: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="scale"):
        Scale(scores=scores, relevance=relevance)
