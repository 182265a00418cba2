"""Agreement of raters and of orders, with values worked by hand."""

from __future__ import annotations

import math

import pytest

from plugins.lab.benchmarks.orders import kendall_tau, tau_of_means
from ragline_lab.judge.agreement import cohen_kappa


def test_kappa_is_what_is_left_of_agreement_beyond_chance() -> None:
    mine = ["yes"] * 20 + ["yes"] * 5 + ["no"] * 10 + ["no"] * 15
    theirs = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    # seen 35/50 = .7; chance .5 * .6 + .5 * .4 = .5; (.7 - .5) / .5
    assert cohen_kappa(mine, theirs) == pytest.approx(0.4)
    assert cohen_kappa(["a", "b"], ["a", "b"]) == 1.0
    assert cohen_kappa(["a", "b"], ["b", "a"]) == -1.0


def test_a_label_that_nobody_gives_as_right_lowers_kappa() -> None:
    gold = ["a", "a", "b", "b"]
    # seen 2/4; chance (2 * 1 + 2 * 1) / 16 = .25; (.5 - .25) / .75
    assert cohen_kappa(gold, ["a", "unreadable", "b", "unreadable"]) == pytest.approx(1 / 3)


def test_kappa_is_not_defined_where_chance_agrees_on_all() -> None:
    assert cohen_kappa(["a", "a"], ["a", "a"]) is None
    assert cohen_kappa([], []) is None
    with pytest.raises(ValueError, match="2 and 1 labels"):
        cohen_kappa(["a", "b"], ["a"])


def test_tau_counts_pairs_in_the_same_order() -> None:
    # of six pairs five agree and one does not: (5 - 1) / 6
    assert kendall_tau([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(4 / 6)
    assert kendall_tau([1, 2, 3], [3, 2, 1]) == -1.0
    # one tie on the left: (2 - 0) / sqrt((3 - 1) * (3 - 0))
    assert kendall_tau([1, 1, 2], [1, 2, 3]) == pytest.approx(2 / math.sqrt(6))
    assert kendall_tau([1, 1, 1], [1, 2, 3]) is None


def test_tau_of_means_is_of_the_means_and_its_interval_of_the_queries() -> None:
    ours = {"a": {"1": 0.1, "2": 0.3}, "b": {"1": 0.4, "2": 0.4}, "c": {"1": 0.6, "2": 0.5}}
    theirs = {"c": {"x": 0.9}, "a": {"x": 0.2}, "b": {"x": 0.1}}
    tau = tau_of_means(ours, theirs)
    # means .2, .4, .55 against .2, .1, .9: of three pairs two agree and one does not
    assert tau is not None
    assert tau.tau == pytest.approx(1 / 3)
    assert (tau.systems, tau.drawn) == (3, 2_000)
    assert tau.low == pytest.approx(
        1 / 3
    )  # every draw of queries keeps a < b < c on the left, and there is one on the right
    assert tau.high == pytest.approx(1 / 3)
    assert tau_of_means(ours, theirs) == tau


def test_an_interval_is_wide_where_queries_disagree() -> None:
    ours = {"a": {"1": 1.0, "2": 0.0, "3": 1.0}, "b": {"1": 0.0, "2": 1.0, "3": 0.4}}
    tau = tau_of_means(ours, {"a": {"x": 1.0}, "b": {"x": 0.0}})
    assert tau is not None
    assert (tau.low, tau.tau, tau.high) == (-1.0, 1.0, 1.0)


def test_tau_wants_the_same_systems_and_queries() -> None:
    one = {"a": {"1": 0.1}, "b": {"1": 0.2}}
    assert tau_of_means(one, {"a": {"1": 0.5}, "b": {"1": 0.5}}) is None
    with pytest.raises(ValueError, match="the same systems"):
        tau_of_means(one, {"a": {"1": 0.1}, "c": {"1": 0.2}})
    with pytest.raises(ValueError, match="the same queries"):
        tau_of_means(one, {"a": {"1": 0.1}, "b": {"2": 0.2}})
