from __future__ import annotations

import itertools
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag import Query, SpecError
from ragline_lab.sweep.halves import Round, better, divided, in_order, rounds


def queries(n: int) -> list[Query]:
    return [Query(qid=f"q{number}", text="x") for number in range(n)]


@pytest.mark.parametrize(
    ("settings", "n", "expected"),
    [
        (9, 100, [(9, 16), (5, 48), (3, 100)]),  # quarter and half of the queries, in whole batches of 16
        (4, 64, [(4, 16), (2, 32), (1, 64)]),
        (2, 1000, [(2, 496), (1, 1000)]),  # 500 is 31 batches and a part of one
        (5, 31, [(5, 31)]),  # half of them is less than a batch
        (1, 1000, [(1, 1000)]),
    ],
)
def test_the_settings_halve_as_the_queries_double(settings: int, n: int, expected: list[tuple[int, int]]) -> None:
    assert [(each.settings, each.queries) for each in rounds(settings, n, batch=16)] == expected


@given(st.integers(1, 1000), st.integers(1, 5000))
def test_rounds_only_end_within_a_batch_at_the_end(settings: int, n: int) -> None:
    made = rounds(settings, n, batch=16)
    assert made[0].settings == settings
    assert made[-1].queries == n
    assert all(each.queries % 16 == 0 for each in made[:-1])
    for one, other in itertools.pairwise(made):
        assert other == Round(settings=-(-one.settings // 2), queries=other.queries)
        assert one.queries < other.queries


def test_the_better_half_stays_and_of_equal_settings_the_earlier() -> None:
    assert better({0: 0.2, 1: 0.5, 2: 0.1, 3: 0.4}, 2) == [1, 3]
    assert better({0: 0.2, 1: 0.5, 2: 0.2, 3: 0.2}, 2) == [0, 1]
    assert better({4: 0.3, 2: 0.3, 3: 0.3}, 1) == [2]
    assert better({0: 0.1}, 5) == [0]


def test_halving_can_lose_the_best_one() -> None:
    """Scripted values: setting 2 is best over all four batches and last on the first."""
    values = {0: [0.6, 0.1, 0.1, 0.1], 1: [0.5, 0.5, 0.2, 0.2], 2: [0.1, 0.9, 0.9, 0.9], 3: [0.4, 0.2, 0.2, 0.2]}
    going, history = [0, 1, 2, 3], []
    for each in rounds(4, 64, batch=16):
        batches = each.queries // 16
        history.append(list(going))
        going = better({setting: sum(values[setting][:batches]) / batches for setting in going}, -(-len(going) // 2))
    assert history == [[0, 1, 2, 3], [0, 1], [1]]
    assert max(values, key=lambda setting: sum(values[setting])) == 2


def test_a_query_is_on_the_same_side_whatever_else_there_is() -> None:
    some, more = queries(100), queries(300)
    tuning, reporting = divided(some, 0.5)
    assert {q.qid for q in tuning} | {q.qid for q in reporting} == {q.qid for q in some}
    assert not {q.qid for q in tuning} & {q.qid for q in reporting}
    shuffled = list(more)
    Random(1).shuffle(shuffled)
    of_more, rest = divided(shuffled, 0.5)
    assert {q.qid for q in tuning} <= {q.qid for q in of_more}
    assert {q.qid for q in reporting} <= {q.qid for q in rest}
    assert {q.qid for q in tuning} <= {q.qid for q in divided(some, 0.7)[0]}
    assert of_more == in_order(of_more)
    assert 120 <= len(of_more) <= 180


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, 2.0, float("nan")])
def test_a_share_that_leaves_nothing_on_one_side_is_refused(share: float) -> None:
    with pytest.raises(SpecError, match="above 0 and below 1"):
        divided(queries(10), share)


def test_too_few_queries_to_divide_are_refused() -> None:
    with pytest.raises(SpecError, match="there are too few"):
        divided(queries(1), 0.5)
