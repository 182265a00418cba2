from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragline_train.calibration.fitting import fit_scale


def test_steps_are_those_worked_by_hand() -> None:
    """1, 0 pool to one half; equal scores have one worth."""
    scale = fit_scale([1.0, 2.0, 3.0, 4.0, 4.0], [0.0, 1.0, 0.0, 1.0, 0.5])
    assert [scale(score) for score in (1.0, 2.0, 3.0, 4.0)] == [0.0, 0.5, 0.5, 0.75]
    assert scale(3.5) == 0.625
    assert (scale(-9.0), scale(9.0)) == (0.0, 0.75)


scores = st.lists(st.tuples(st.floats(-50, 50), st.floats(0, 1)), min_size=1, max_size=40)


@given(scores, st.floats(-60, 60), st.floats(-60, 60))
def test_it_never_falls_and_stays_from_0_to_1(pairs: list[tuple[float, float]], one: float, other: float) -> None:
    scale = fit_scale(*map(list, zip(*pairs, strict=True)))
    low, high = sorted((one, other))
    assert 0 <= scale(low) <= scale(high) <= 1


@given(scores)
def test_its_mean_is_that_of_the_grades(pairs: list[tuple[float, float]]) -> None:
    values, grades = map(list, zip(*pairs, strict=True))
    scale = fit_scale(values, grades)
    assert sum(map(scale, values)) == pytest.approx(sum(grades), abs=1e-6)


def test_nothing_is_no_scale() -> None:
    with pytest.raises(ValueError, match="at least one"):
        fit_scale([], [])
