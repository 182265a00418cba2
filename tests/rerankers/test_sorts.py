from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.core.in_step import Places, Shown, answered, remembered, tagged, together
from rerankers.pairwise import all_pair
from rerankers.setwise import voted
from rerankers.sorts import Order, at_a_glance, bubblesort, heapsort, in_both_orders, insertion


class Judge:
    """Knows how good each item is, and counts what it was asked."""

    def __init__(self, worth: Sequence[int]) -> None:
        self.worth, self.asked, self.steps = worth, list[Shown](), 0

    def __call__(self, questions: list[Shown]) -> list[Places]:
        self.steps += 1
        self.asked += questions
        return [tuple(sorted(range(len(q)), key=lambda place: -self.worth[q[place]])) for q in questions]


def best_first(worth: Sequence[int]) -> list[int]:
    return sorted(range(len(worth)), key=lambda item: -worth[item])


def remember(order: Order) -> Order:
    return remembered(order, {}, lambda shown: shown)


SORTS: dict[str, Callable[[int, int, int], Order]] = {
    "heapsort": lambda n, top, children: heapsort(n, top=top, children=children, best=at_a_glance),
    "bubblesort": lambda n, top, children: bubblesort(n, top=top, window=children + 1, best=at_a_glance),
    "insertion": lambda n, top, children: insertion(n, top=top, window=children + 1, best=at_a_glance),
    "prp heapsort": lambda n, top, children: heapsort(n, top=top, children=2, best=in_both_orders),
    "prp sliding": lambda n, top, children: bubblesort(n, top=top, window=2, best=in_both_orders),
}


def bound(name: str, n: int, top: int, children: int) -> int:
    """Most questions that a sort may ask."""
    if n < 2:
        return 0
    top = min(top, n)
    c = {"prp heapsort": 2, "prp sliding": 1}.get(name, children)
    if "heap" in name:

        def height(node: int) -> int:
            deep = 0
            while c * node + 1 < n:
                node, deep = c * node + 1, deep + 1
            return deep

        contests = sum(map(height, range(n))) + (top - 1) * height(0)
        return contests * (4 if name == "prp heapsort" else 1)  # two children, each in both orders
    if name == "insertion":
        one = 1 + math.ceil(top / c) + c
        return top * one + (n - top) * (1 + one)
    passes = min(top, n - 1)
    return sum(math.ceil((n - 1 - done) / c) for done in range(passes)) * (2 if name == "prp sliding" else 1)


@pytest.mark.parametrize("name", SORTS)
@settings(max_examples=60)
@given(st.permutations(range(13)), st.integers(0, 13), st.integers(1, 15), st.integers(1, 5))
def test_every_sort_finds_the_top_and_keeps_to_its_bound(
    name: str, worth: list[int], n: int, top: int, children: int
) -> None:
    judge = Judge(worth[:n])
    order = answered(remember(SORTS[name](n, top, children)), judge)
    assert order[:top] == best_first(worth[:n])[:top]
    assert order[top:] == sorted(order[top:])
    assert sorted(order) == list(range(n))
    assert len(judge.asked) == len(set(judge.asked)) <= bound(name, n, top, children)


@pytest.mark.parametrize("name", SORTS)
@settings(max_examples=60)
@given(st.integers(0, 12), st.integers(1, 6), st.integers(1, 4), st.randoms(use_true_random=False))
def test_a_judge_that_contradicts_itself_still_gives_a_permutation(
    name: str, n: int, top: int, children: int, rng: random.Random
) -> None:
    def judge(questions: list[Shown]) -> list[Places]:
        return [tuple(rng.sample(range(len(q)), rng.randint(0, len(q)))) for q in questions]

    assert sorted(answered(SORTS[name](n, top, children), judge)) == list(range(n))


@pytest.mark.parametrize("name", SORTS)
def test_answers_that_decide_nothing_keep_first_stage_order(name: str) -> None:
    assert answered(SORTS[name](9, 5, 3), lambda questions: [() for _ in questions]) == list(range(9))


def test_heapsort_by_hand() -> None:
    # Eight items, three below each node: 0 over 1 2 3, 1 over 4 5 6, 2 over 7. The last item is the best, and so on up.
    judge = Judge([0, 1, 2, 3, 4, 5, 6, 7])
    order = answered(heapsort(8, top=3, children=3, best=at_a_glance), judge)
    assert order == [7, 6, 5, 0, 1, 2, 3, 4]
    assert judge.asked == [
        (1, 4, 5, 6), (2, 7),  # the lower level, in one step: the heap is now 0 6 7 3 4 5 1 2
        (0, 3, 6, 7),          # 7 goes up, 0 down to where 7 was
        (0, 2),                # and 2 goes up: 7 6 2 3 4 5 1 0
        (0, 2, 3, 6),          # 7 is drawn, 0 takes its place, 6 goes up
        (0, 1, 4, 5),          # 5 goes up: 6 5 2 3 4 0 1
        (1, 2, 3, 5),          # 6 is drawn, 1 takes its place, 5 goes up
        (0, 1, 4),             # 4 goes up; then 5 is drawn, and no more is needed
    ]  # fmt: skip
    assert judge.steps == 7


def test_pairwise_heapsort_by_hand() -> None:
    # Five items, two below each node: 0 over 1 2, 1 over 3 4. A contest of three is two comparisons, each in both orders.
    judge = Judge([0, 1, 2, 3, 4])
    order = heapsort(5, top=2, children=2, best=in_both_orders)
    assert answered(remember(order), judge) == [4, 3, 0, 1, 2]
    assert judge.asked == [
        (1, 3), (3, 1), (3, 4), (4, 3),  # 4 goes up: the heap is now 0 4 2 3 1
        (0, 2), (2, 0), (2, 4), (4, 2),  # 4 goes up again, 0 down to where it was: 4 0 2 3 1
        (0, 1), (1, 0),                  # of 0 1 3: that 3 beats 1 is known, and 3 goes up: 4 3 2 0 1
        (1, 2), (2, 1), (2, 3), (3, 2),  # 4 is drawn, 1 takes its place, 3 goes up: 3 1 2 0; that 1 beats 0 is known
    ]  # fmt: skip
    assert judge.steps == 7

    forgetful = Judge([0, 1, 2, 3, 4])
    answered(heapsort(5, top=2, children=2, best=in_both_orders), forgetful)
    assert len(forgetful.asked) == 14 + 4  # what was known is asked again


def test_bubblesort_by_hand() -> None:
    judge = Judge([0, 1, 2, 3, 4])
    assert answered(bubblesort(5, top=2, window=3, best=at_a_glance), judge) == [4, 3, 0, 1, 2]
    assert judge.asked == [(2, 3, 4), (0, 1, 4), (1, 2, 3), (0, 3)]  # 0 1 4 2 3, 4 0 1 2 3; 4 0 3 1 2, 4 3 0 1 2


def test_bubblesort_of_a_sorted_list_pays_its_windows_once() -> None:
    judge = Judge([9, 8, 7, 6, 5])
    assert answered(remember(bubblesort(5, top=4, window=2, best=at_a_glance)), judge) == [0, 1, 2, 3, 4]
    assert judge.asked == [(3, 4), (2, 3), (1, 2), (0, 1)]


def test_insertion_by_hand() -> None:
    # The top two are sorted by one question; 2 3 4 lose to the second best at once; 6 beats it and the best.
    judge = Judge([9, 8, 1, 2, 3, 4, 10])
    assert answered(insertion(7, top=2, window=4, best=at_a_glance), judge) == [6, 0, 1, 2, 3, 4, 5]
    assert judge.asked == [(0, 1), (1, 2, 3, 4), (1, 5, 6), (0, 6), (0, 5)]


def test_insertion_of_a_sorted_list_asks_least() -> None:
    judge = Judge(range(100, 0, -1))
    assert answered(insertion(100, top=10, window=4, best=at_a_glance), judge) == list(range(100))
    assert len(judge.asked) == 9 + 30


def test_sliding_asks_each_pair_in_both_orders() -> None:
    judge = Judge([0, 1, 2])
    assert answered(remember(bubblesort(3, top=1, window=2, best=in_both_orders)), judge) == [2, 0, 1]
    assert judge.asked == [(1, 2), (2, 1), (0, 2), (2, 0)]


@pytest.mark.parametrize("answers", [[(0,), (0,)], [(1,), (1,)], [(), (0,)], [(1,), ()], [(), ()], [(0,), (1,)]])
def test_a_pair_is_swapped_on_a_clear_win_alone(answers: list[Places]) -> None:
    assert answered(in_both_orders((0, 1)), lambda _: answers) == 0
    assert answered(in_both_orders((0, 1)), lambda _: [(1,), (0,)]) == 1


def test_all_pairs_are_asked_in_one_step() -> None:
    judge = Judge([3, 9, 5, 7, 1])
    assert answered(all_pair(5), judge) == [1, 3, 2, 0, 4]
    assert (judge.steps, len(judge.asked)) == (1, 5 * 4)
    assert answered(all_pair(1), judge) == [0]
    assert answered(all_pair(0), judge) == []


def test_points_of_all_pairs_by_hand() -> None:
    # 2 beats 0 in both orders; 0 and 1 tie, 1 and 2 tie: points .5, 1, 1.5.
    said = {(0, 2): (1,), (2, 0): (0,), (0, 1): (0,), (1, 0): (0,), (1, 2): (), (2, 1): (0,)}
    assert answered(all_pair(3), lambda questions: [said[q] for q in questions]) == [2, 1, 0]
    assert answered(all_pair(3), lambda questions: [() for _ in questions]) == [0, 1, 2]


def test_votes_are_counted_and_ties_go_to_the_first() -> None:
    best = voted(5, seed=1)
    assert answered(best((4, 7, 9)), lambda qs: [(q.index(9),) for q in qs]) == 9
    assert answered(best((4, 7, 9)), lambda qs: [() for _ in qs]) == 4
    seen: list[Shown] = []
    answered(best((4, 7, 9)), lambda qs: seen.extend(qs) or [(0,)] * len(qs))  # type: ignore[func-returns-value]
    assert len(seen) == 5
    assert seen[0] == (4, 7, 9)
    assert len(set(seen)) > 1


def test_many_run_in_step_and_each_gets_its_own_answers() -> None:
    judge = Judge([5, 1, 4, 2, 3, 0])
    sorts = [SORTS["heapsort"](n, 6, 2) for n in (0, 1, 3, 6)]
    alone = [answered(SORTS["heapsort"](n, 6, 2), Judge(judge.worth)) for n in (0, 1, 3, 6)]
    assert answered(together(sorts), judge) == alone
    longest = Judge(judge.worth)
    answered(SORTS["heapsort"](6, 6, 2), longest)
    assert judge.steps == longest.steps


def test_a_tag_stands_beside_every_question() -> None:
    seen: list[tuple[str, Shown]] = []

    def answer(questions: list[tuple[str, Shown]]) -> list[Places]:
        seen.extend(questions)
        return [(0,)] * len(questions)

    answered(together([tagged(at_a_glance((0, 1)), "a"), tagged(at_a_glance((2, 3)), "b")]), answer)
    assert seen == [("a", (0, 1)), ("b", (2, 3))]


def test_what_was_answered_is_not_asked_again() -> None:
    memory: dict[object, Places] = {}
    judge = Judge([0, 1, 2])

    def twice() -> Order:
        first = yield [(0, 1), (0, 1), (1, 2)]
        second = yield [(0, 1)]
        third = yield [(1, 2), (0, 2)]
        return [len(first), len(second), len(third)]

    assert answered(remembered(twice(), memory, lambda q: q), judge) == [3, 1, 2]  # type: ignore[arg-type]
    assert judge.asked == [(0, 1), (1, 2), (0, 2)]
    assert judge.steps == 2
