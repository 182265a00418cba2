from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, permutations

import numpy as np
import pytest

from ragline_train.heads.search_heads import usual_depths
from ragline_train.heads.weighings import (
    Example,
    NothingFound,
    _as_good,
    find,
    fit,
    mean_ndcg,
    ndcg,
    ndcg_per_head,
)
from rerankers.attention.reading.weigh import standardised, weighed


def examples(n: int = 40, *, heads: int = 12, good: tuple[int, ...] = (2, 7), seed: int = 0) -> list[Example]:
    """Noise, but for the good heads, which score the one relevant document higher."""
    random = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        scores = random.normal(size=(heads, 10))
        grades = np.zeros(10)
        relevant = random.integers(10)
        grades[relevant] = 1
        scores[list(good), relevant] += 2.0
        made.append(Example(scores=scores, grades=grades))
    return made


def test_ndcg_equals_the_hand_worked_value() -> None:
    # Order 2, 0, 1: gains 0, 3, 1 at discounts 1, 1/log2(3), 1/2; best order 3, 1, 0.
    found = ndcg(np.array([0.5, 0.1, 0.9]), np.array([3.0, 1.0, 0.0]))
    best = 3 + 1 / np.log2(3)
    assert found == pytest.approx((3 / np.log2(3) + 0.5) / best)


def test_ndcg_cuts_at_ten() -> None:
    scores, grades = -np.arange(12.0), np.zeros(12)
    grades[10] = 1
    assert ndcg(scores, grades) == 0
    grades[9] = 1
    assert 0 < ndcg(scores, grades) < 1


@pytest.mark.parametrize("method", ["core", "ndcg", "qr"])
def test_every_method_finds_the_heads_that_know(method: str) -> None:
    weights, _ = fit(examples(), method, 2)  # type: ignore[arg-type]
    assert set(np.flatnonzero(weights)) == {2, 7}


def test_sparse_weights_find_the_heads_that_know_and_few_others() -> None:
    weights, _ = fit(examples(80), "sparse", 0.1)
    assert set(np.argsort(-weights)[:2]) == {2, 7}
    assert (weights >= 0).all()
    assert (weights > 0).sum() <= 6


def test_a_higher_penalty_keeps_fewer_heads() -> None:
    kept = [(fit(examples(), "sparse", penalty)[0] > 0).sum() for penalty in (0.2, 0.01)]
    assert kept[0] < kept[1]


def test_sparse_weights_are_where_the_loss_is_least() -> None:
    """Against a search by brute force over two heads."""
    given = examples(30, heads=2, good=(1,))
    penalty = 0.05

    def loss(weights: np.ndarray) -> float:
        total = 0.0
        for each in given:
            logits = weighed(each.scores, weights)
            logits = logits - logits.max()
            total -= logits[each.grades > 0][0] - np.log(np.exp(logits).sum())
        return float(total / len(given) + penalty * weights.sum())

    grid = np.linspace(0, 3, 31)
    near = min((np.array([a, b]) for a in grid for b in grid), key=loss)
    grid = np.linspace(-0.1, 0.1, 17)
    best = min(loss(np.maximum(near + np.array([a, b]), 0)) for a in grid for b in grid)
    assert loss(fit(given, "sparse", penalty)[0]) <= best + 1e-4


def drawn(n: int = 80, *, heads: int = 8, seed: int = 3) -> list[Example]:
    """Head 2 knows, but some documents draw its attention whatever is asked; head 5's null tells which."""
    random = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        draws, scores, nulls = random.normal(size=10), *random.normal(size=(2, heads, 10))
        grades = np.zeros(10)
        grades[relevant := random.integers(10)] = 1
        scores[2] = 0.3 * random.normal(size=10) + 3 * draws
        scores[2, relevant] += 2.0
        nulls[5] = draws
        made.append(Example(scores=scores, nulls=nulls, grades=grades))
    return made


def test_joint_takes_off_what_documents_draw_whatever_is_asked() -> None:
    given = drawn()
    found, without = find(given, methods=("joint",)), find(given, methods=("sparse",))
    assert found.prior is not None
    assert int(found.weights.argmax()) == 2
    assert int(found.prior.argmax()) == 5
    assert (found.weights >= 0).all()
    assert (found.prior >= 0).all()
    # Three of the one for each of the other was put in.
    assert found.prior[5] / found.weights[2] == pytest.approx(3, rel=0.15)
    assert found.ndcg > without.ndcg + 0.2


def test_what_is_taught_is_learned_in_its_shares() -> None:
    """Two heads, each of which sees another document: their weights stand as the logarithms of the shares."""
    scores = np.zeros((2, 4))
    scores[0, 0] = scores[1, 1] = 1.0
    shares = np.array([0.5, 0.3, 0.1, 0.1])
    same = [Example(scores=scores, nulls=0 * scores, grades=shares, taught=True)] * 10
    weights, _ = fit(same, "joint", 1e-6)
    # softmax(w0, w1, 0, 0) is the shares where w = log(share / 0.1)
    assert weights == pytest.approx(np.log([5.0, 3.0]), rel=0.01)
    alike, _ = fit([replace(each, taught=False) for each in same], "joint", 0.01)
    assert not alike.any()  # all four are relevant: there is nothing to learn


def test_joint_is_the_same_in_any_unit() -> None:
    given = drawn(40)
    units = 10.0 ** np.arange(-4, 4)[:, None]
    other = [
        Example(scores=e.scores * units, nulls=(e.nulls if e.nulls is not None else 0) * units, grades=e.grades)
        for e in given
    ]
    weights, prior = fit(given, "joint", 0.05)
    in_units, prior_in_units = fit(other, "joint", 0.05)
    assert prior is not None
    assert prior_in_units is not None
    assert in_units * units[:, 0] == pytest.approx(weights, rel=1e-6)
    assert prior_in_units * units[:, 0] == pytest.approx(prior, rel=1e-6)


def test_joint_needs_null_scores() -> None:
    with pytest.raises(ValueError, match="joint needs examples with null scores"):
        find(examples(), methods=("joint",))


def test_an_order_of_heads_is_one_by_ndcg() -> None:
    alone = ndcg_per_head(examples())
    assert set(np.argsort(-alone)[:2]) == {2, 7}


def test_what_is_found_is_judged_on_examples_it_has_not_seen() -> None:
    noise = examples(40, good=())
    found = find(noise, methods=("ndcg",), folds=5)
    chance = mean_ndcg(noise, np.zeros(12) + 1)
    fitted = mean_ndcg(noise, found.weights)
    assert found.ndcg < fitted  # fitting to noise looks good on the same noise alone
    assert abs(found.ndcg - chance) < 0.1


def test_the_best_of_the_methods_is_taken() -> None:
    found = find(examples(), methods=("qr", "core", "ndcg", "sparse"))
    assert found.ndcg >= find(examples(), methods=("qr",)).ndcg
    assert {2, 7} <= set(np.flatnonzero(found.weights))


def test_of_settings_as_good_as_each_other_the_one_is_taken_that_keeps_least_or_with_a_teacher_most() -> None:
    random = np.random.default_rng(5)
    base = random.normal(0.5, 0.2, size=400)  # a standard error of 0.01
    held_out = {4: base - 0.02, 6: base - 0.002, 8: base, 12: base - 0.001}
    assert _as_good(held_out, most=False) == (6, held_out[6])
    assert _as_good(held_out, most=True) == (12, held_out[12])


def test_with_a_teacher_more_heads_are_kept_than_with_labels() -> None:
    judged = drawn()
    taught = [replace(each, taught=True) for each in judged]  # the same grades, of which one of each is not 0
    with_labels, with_teacher = find(judged, methods=("joint",)), find(taught, methods=("joint",))
    assert with_teacher.setting < with_labels.setting
    assert np.count_nonzero(with_teacher.weights) >= np.count_nonzero(with_labels.weights)


def test_too_few_examples_are_refused() -> None:
    with pytest.raises(ValueError, match="needs at least 10 examples, got 9"):
        find(examples(9))


def test_an_example_needs_something_relevant() -> None:
    with pytest.raises(ValueError, match="a relevant one"):
        Example(scores=np.zeros((2, 3)), grades=np.zeros(3))


def test_standardised_scores_of_equals_are_zero() -> None:
    rows = np.array([[0.1 + 0.2, 0.3, 0.3], [1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    found = standardised(rows)
    assert found[0].tolist() == [0, 0, 0]
    assert found[1] == pytest.approx([-(1.5**0.5), 0, 1.5**0.5])
    assert found[2].tolist() == [0, 0, 0]


def test_equal_scores_count_as_the_mean_over_their_orders() -> None:
    """Against every order of the documents that agrees with the scores, one by one."""
    random = np.random.default_rng(1)
    for _ in range(30):
        scores = random.integers(0, 3, size=(4, 5)).astype(np.float64)
        grades = random.integers(0, 3, size=5).astype(np.float64)
        grades[0] += 1
        expected = [
            np.mean(
                [
                    float(ndcg(-np.argsort(order).astype(np.float64), grades, k=3))
                    for order in permutations(range(5))
                    if all(row[a] >= row[b] for a, b in pairwise(order))
                ]
            )
            for row in scores
        ]
        assert ndcg(scores, grades, k=3) == pytest.approx(expected)


@pytest.mark.parametrize("relevant", [0, 9])
def test_a_head_that_tells_nothing_apart_is_no_better_than_chance(relevant: int) -> None:
    grades = np.eye(10)[relevant]
    chance = np.mean([float(ndcg(-np.roll(np.arange(10.0), at), grades)) for at in range(10)])
    assert ndcg(np.zeros(10), grades) == pytest.approx(chance)


def test_weights_of_nothing_are_never_found() -> None:
    """Under these penalties the learned weights are all 0; a set of no heads would be neither good nor valid."""
    noise = examples(40, good=())
    with pytest.raises(NothingFound, match="sparse kept none"):
        find([Example(scores=np.zeros_like(each.scores), grades=each.grades) for each in noise], methods=("sparse",))
    found = find([Example(scores=0 * each.scores, grades=each.grades) for each in noise], methods=("sparse", "qr"))
    assert found.method == "qr"
    assert found.ndcg < 0.6


@pytest.mark.parametrize("n_layers", range(1, 81))
def test_usual_depths_are_layers_of_the_model(n_layers: int) -> None:
    depths = usual_depths(n_layers)
    assert depths == tuple(sorted(set(depths)))
    assert 0 <= depths[0] <= depths[-1] < n_layers
