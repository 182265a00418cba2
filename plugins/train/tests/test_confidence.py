from __future__ import annotations

import random

import pytest

from ragline_train.calibration.fitting import RIDGES, best_ridge, crossed, fit


def drawn(n: int, *, seed: int = 3) -> tuple[list[dict[str, float | None]], list[bool]]:
    """`good` decides, `noise` does not."""
    chance = random.Random(seed)
    rows: list[dict[str, float | None]] = []
    right = []
    for _ in range(n):
        good = chance.gauss(0, 1)
        rows.append({"good": 5 + 3 * good, "noise": chance.gauss(0, 1), "same": 1.0})
        right.append(chance.random() < 1 / (1 + 2.718281828 ** (-(0.5 + 2 * good))))
    return rows, right


class TestFit:
    def test_it_finds_what_made_the_labels(self) -> None:
        model = fit(*drawn(4000))
        assert model.names == ("good", "noise")
        assert model.weights[0] == pytest.approx(2, abs=0.15)
        assert model.weights[1] == pytest.approx(0, abs=0.1)
        assert model.intercept == pytest.approx(0.5, abs=0.1)

    def test_its_gradient_is_zero_where_it_stops(self) -> None:
        rows, right = drawn(60)
        model = fit(rows, right, ridge=1.0)
        chances = [model(row) for row in rows]
        assert sum(chances) == pytest.approx(sum(right), abs=1e-4)
        for name, mean, spread, weight in zip(model.names, model.means, model.spreads, model.weights, strict=True):
            pull = sum((r - c) * (row[name] - mean) / spread for row, r, c in zip(rows, right, chances, strict=True))  # type: ignore[operator]
            assert pull == pytest.approx(weight, abs=1e-6)

    def test_labels_that_are_all_alike_give_an_even_chance_of_one_more(self) -> None:
        rows, _ = drawn(8)
        assert fit(rows, [True] * 8)(rows[0]) == pytest.approx(9 / 10)
        assert fit(rows, [False] * 8)(rows[0]) == pytest.approx(1 / 10)

    def test_labels_that_a_signal_parts_give_finite_weights(self) -> None:
        rows = [{"s": float(i)} for i in range(20)]
        model = fit(rows, [i >= 10 for i in range(20)])
        assert model.weights[0] < 10
        assert model({"s": 19.0}) > 0.9

    def test_a_signal_that_is_not_there_counts_as_its_mean(self) -> None:
        model = fit(*drawn(200))
        mean = dict(zip(model.names, model.means, strict=True))
        assert model({}) == model({"good": None}) == pytest.approx(model(mean))

    def test_rows_without_signals_have_one_chance(self) -> None:
        assert fit([{}, {}, {}], [True, True, False])({}) == pytest.approx(2 / 3, abs=1e-3)


def test_crossed_chances_are_of_models_that_did_not_see_the_answer() -> None:
    rows, right = drawn(30)
    chances = crossed(rows, right, folds=5)
    others = [place for place in range(30) if place % 5 != 2]
    model = fit([rows[place] for place in others], [right[place] for place in others])
    assert chances[7] == model(rows[7])
    assert crossed(rows, right, folds=5) == chances


def test_noise_is_pulled_harder_than_a_signal() -> None:
    chance = random.Random(5)
    noise: list[dict[str, float | None]] = [{f"n{i}": chance.gauss(0, 1) for i in range(12)} for _ in range(30)]
    assert best_ridge(noise, [chance.random() < 0.5 for _ in range(30)]) == max(RIDGES)
    assert best_ridge(*drawn(400)) < max(RIDGES)
