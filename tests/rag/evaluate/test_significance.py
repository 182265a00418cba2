from __future__ import annotations

import numpy as np
import pytest

from rag.evaluate import Evaluation, compare, evaluate, holm, mean_interval, paired_randomisation


def test_p_is_the_share_of_swaps_worked_by_hand() -> None:
    # differences .4 .2 .1: of the eight sums only +.7 and -.7 are as large
    found = paired_randomisation([0.9, 0.7, 0.6], [0.5, 0.5, 0.5])
    assert found.difference == pytest.approx(0.7 / 3)
    assert found.p == 2 / 8


def test_sums_that_are_equal_but_for_rounding_count_as_equal() -> None:
    # differences .1 .2 .3 -.6 sum to 0, so every swap is as large
    assert paired_randomisation([0.1, 0.2, 0.3, 0.0], [0.0, 0.0, 0.0, 0.6]).p == 1.0


@pytest.mark.parametrize("n_queries", [5, 12, 60])
def test_p_agrees_with_an_independent_implementation(n_queries: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(n_queries)
    a, b = rng.random(n_queries), rng.random(n_queries) - 0.08
    wanted = stats.permutation_test(
        (a, b), lambda x, y, axis: np.mean(x - y, axis=axis), permutation_type="samples", vectorized=True,
        n_resamples=40_000, rng=np.random.default_rng(1),
    )  # fmt: skip
    found = paired_randomisation(a.tolist(), b.tolist(), n=40_000)
    assert found.p == pytest.approx(wanted.pvalue, abs=1e-9 if n_queries < 15 else 0.01)
    assert found.difference == pytest.approx(wanted.statistic)


def test_the_interval_agrees_with_an_independent_implementation() -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(5)
    a, b = rng.random(80), rng.random(80) * 0.8
    wanted = stats.bootstrap(
        (a - b,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(2)
    ).confidence_interval
    found = paired_randomisation(a.tolist(), b.tolist(), n=20_000)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=0.004)
    assert found.low < found.difference < found.high


def test_the_interval_of_a_mean_agrees_with_an_independent_implementation() -> None:
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(8).random(60)
    wanted = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(2)
    ).confidence_interval
    found = mean_interval(values.tolist(), n=20_000)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=0.004)
    assert found.n == 60


def test_the_interval_of_a_mean_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    found = [mean_interval(rng.random(40).tolist(), n=400, seed=i) for i in range(300)]
    assert 0.90 < np.mean([i.low <= 0.5 <= i.high for i in found]) < 0.98


def test_a_single_value_is_its_own_interval_and_nothing_has_none() -> None:
    one = mean_interval([0.4])
    assert (one.n, one.low, one.high) == (1, 0.4, 0.4)
    for values in ([], [float("nan")]):
        with pytest.raises(ValueError, match="at least one value"):
            mean_interval(values)


def test_p_of_many_queries_is_never_zero() -> None:
    assert paired_randomisation([1.0] * 50, [0.0] * 50, n=999).p == 1 / 1000


def test_under_no_difference_small_p_is_as_rare_as_it_says() -> None:
    rng = np.random.default_rng(11)
    p = [paired_randomisation(rng.random(30).tolist(), rng.random(30).tolist(), n=400, seed=i).p for i in range(400)]
    assert 0.02 < np.mean(np.array(p) < 0.05) < 0.09


def test_the_same_seed_gives_the_same_answer_and_swapping_sides_turns_it_round() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.random(40).tolist(), rng.random(40).tolist()
    first = paired_randomisation(a, b, n=2000, seed=9)
    assert first == paired_randomisation(a, b, n=2000, seed=9)
    turned = paired_randomisation(b, a, n=2000, seed=9)
    assert (turned.difference, turned.p) == (-first.difference, first.p)
    assert (turned.low, turned.high) == pytest.approx((-first.high, -first.low))


def test_equal_systems_do_not_differ() -> None:
    found = paired_randomisation([0.3, 0.4], [0.3, 0.4])
    assert (found.difference, found.p, found.low, found.high) == (0.0, 1.0, 0.0, 0.0)


@pytest.mark.parametrize(("a", "b"), [([], []), ([1.0], [1.0, 2.0]), ([float("nan")], [1.0]), ([float("inf")], [1.0])])
def test_values_that_cannot_be_paired_are_refused(a: list[float], b: list[float]) -> None:
    with pytest.raises(ValueError, match=r"same queries|finite"):
        paired_randomisation(a, b)
    with pytest.raises(ValueError, match="n must be at least 1"):
        paired_randomisation([1.0], [1.0], n=0)


def test_holm_gives_the_values_worked_by_hand() -> None:
    # sorted .01 .02 .03 .04 times 4 3 2 1 = .04 .06 .06 .04, then never falling
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.5]) == [1.0, 1.0]
    assert holm([]) == []


def test_two_evaluations_are_compared_query_by_query() -> None:
    qrels = {f"q{i}": {"a": 1} for i in range(3)}
    good = evaluate({qid: ["a"] for qid in qrels}, qrels, ["RR", "P@1"])
    bad = evaluate({qid: ["b", "a"] for qid in reversed(qrels)}, qrels, ["RR"])
    found = compare(good, bad)
    assert list(found) == ["RR"]
    assert (found["RR"].difference, found["RR"].p) == (0.5, 0.25)


def test_evaluations_of_different_queries_are_not_compared() -> None:
    one = Evaluation(measures={"RR": 1.0}, per_query={"RR": {"q1": 1.0}}, n_queries=1)
    other = Evaluation(measures={"RR": 1.0}, per_query={"RR": {"q2": 1.0}}, n_queries=1)
    with pytest.raises(ValueError, match="2 queries are measured on one side only"):
        compare(one, other)
