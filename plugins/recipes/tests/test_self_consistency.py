"""Aggregated permutations, without a model."""

from __future__ import annotations

from itertools import combinations, permutations

from hypothesis import given
from hypothesis import strategies as st

from ragline_recipes.self_consistency import Places, Shown, borda, consistent, kemeny, shuffles

ORDERS = st.integers(1, 6).flatmap(lambda n: st.lists(st.permutations(range(n)), min_size=1, max_size=5))


def distance(order: list[int], orders: list[list[int]]) -> int:
    """Pairs on which `order` and the others disagree, summed over them."""
    return sum(one.index(b) < one.index(a) for one in orders for a, b in combinations(order, 2))


def test_borda_by_hand() -> None:
    # Ranks: item 0 has 0 + 1 + 2 = 3, item 1 has 1 + 2 + 0 = 3, item 2 has 2 + 0 + 1 = 3; the tie goes by number.
    assert borda([[0, 1, 2], [2, 0, 1], [1, 2, 0]]) == [0, 1, 2]
    assert borda([[2, 0, 1], [2, 1, 0], [1, 2, 0]]) == [2, 1, 0]


def test_kemeny_heeds_the_majority_where_borda_does_not() -> None:
    # Three of five put 0 first, but two put it last: borda prefers 1.
    orders = [[0, 1, 2, 3]] * 3 + [[1, 2, 3, 0]] * 2
    assert borda(orders) == [1, 0, 2, 3]
    assert kemeny(orders) == [0, 1, 2, 3]


@given(ORDERS)
def test_kemeny_is_a_local_optimum_and_never_worse_than_borda(orders: list[list[int]]) -> None:
    found = kemeny(orders)
    assert sorted(found) == list(range(len(orders[0])))
    assert distance(found, orders) <= distance(borda(orders), orders)
    for at in range(len(found) - 1):
        swapped = [*found[:at], found[at + 1], found[at], *found[at + 2 :]]
        assert distance(swapped, orders) >= distance(found, orders)
    for item in found:
        others = [other for other in found if other != item]
        if all(2 * sum(o.index(item) < o.index(other) for o in orders) > len(orders) for other in others):
            assert found[0] == item


def test_kemeny_finds_the_least_distance_of_a_small_case() -> None:
    orders = [[3, 1, 0, 2], [1, 3, 2, 0], [3, 0, 1, 2]]
    least = min(distance(list(order), orders) for order in permutations(range(4)))
    assert distance(kemeny(orders), orders) == least


def test_a_bias_for_the_first_place_cancels_out() -> None:
    """A judge that puts whatever stands first on top, and the rest rightly, is right on the whole."""

    def biased(questions: list[tuple[str, Shown]]) -> list[Places]:
        return [(0, *sorted(range(1, len(q)), key=lambda place: -q[place])) for _, q in questions]

    asked: list[tuple[str, Shown]] = [("q", (0, 1, 2, 3, 4, 5))]
    assert biased(asked) == [(0, 5, 4, 3, 2, 1)]
    assert consistent(biased, runs=9, seed=0, aggregate=kemeny)(asked) == [(5, 4, 3, 2, 1, 0)]


def test_the_majority_names_the_best_where_each_answer_names_one() -> None:
    """Three of five runs name the item 7, two the item 4, each wherever it stands."""

    def one(questions: list[tuple[str, Shown]]) -> list[Places]:
        return [(q.index(7 if at < 3 else 4),) for at, (_, q) in enumerate(questions)]

    assert consistent(one, runs=5, seed=0, aggregate=kemeny)([("q", (4, 6, 7))]) == [(2, 0, 1)]


def test_what_comes_beside_a_question_comes_beside_each_of_its_runs() -> None:
    def judge(questions: list[tuple[str, Shown]], *, keep: list[int], values: None) -> list[Places]:
        assert (keep, values) == ([1, 1, 2, 2], None)
        return [tuple(range(len(q))) for _, q in questions]

    asked = [("q", (0, 1)), ("r", (2, 3))]
    assert consistent(judge, runs=2, seed=0, aggregate=borda)(asked, keep=[1, 2], values=None) is not None


def test_what_a_reply_leaves_open_follows_in_the_windows_order() -> None:
    """Of three runs one names item 5 alone and two name nothing: no shuffle may show in the result."""

    def judge(questions: list[tuple[str, Shown]]) -> list[Places]:
        return [(q.index(5),) if at == 1 else () for at, (_, q) in enumerate(questions)]

    asked = [("q", (2, 3, 4, 5))]
    assert consistent(judge, runs=3, seed=0, aggregate=borda)(asked) == [(3, 0, 1, 2)]
    assert consistent(lambda questions: [()] * len(questions), runs=3, seed=0, aggregate=borda)(asked) == [()]


def test_the_first_run_shows_the_window_as_it_is_and_seeds_repeat() -> None:
    assert shuffles((2, 3, 4, 5), 5, 3) == shuffles((2, 3, 4, 5), 5, 3) != shuffles((2, 3, 4, 5), 5, 4)
    first, *others = shuffles((2, 3, 4, 5), 5, 3)
    assert (first, len(others)) == ((2, 3, 4, 5), 4)
    assert all(sorted(other) == [2, 3, 4, 5] for other in others)
