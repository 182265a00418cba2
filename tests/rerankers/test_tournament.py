"""Tournaments, without a model."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from rag.core.in_step import Places, answered
from rerankers.tournament import STAGES, Selection, dealt, tournament


def best(questions: list[Selection]) -> list[Places]:
    """Names the `keep` highest of each group."""
    return [tuple(sorted(range(len(q.items)), key=lambda at: -q.items[at]))[: q.keep] for q in questions]


def test_the_papers_tournament() -> None:
    asked: list[list[Selection]] = []
    points = answered(tournament(100, STAGES, random.Random(0)), lambda qs: asked.append(qs) or best(qs))  # type: ignore[func-returns-value]
    assert [[(len(q.items), q.keep) for q in step] for step in asked] == [
        [(20, 10)] * 5, [(10, 4)] * 5, [(20, 10)], [(10, 5)], [(5, 2)],
    ]  # fmt: skip
    assert [sum(point >= n for point in points) for n in range(1, 6)] == [50, 20, 10, 5, 2]
    assert points[99] == points[98] == 5


def test_groups_are_dealt_by_skipping() -> None:
    assert dealt(range(10), 4) == [[0, 3, 6, 9], [1, 4, 7], [2, 5, 8]]
    assert dealt([5, 7], 4) == [[5, 7]]
    assert dealt([], 4) == []


@given(st.integers(0, 120), st.randoms(use_true_random=False))
def test_any_number_and_any_answer_give_points(n: int, rng: random.Random) -> None:
    def judge(questions: list[Selection]) -> list[Places]:
        return [tuple(rng.sample(range(len(q.items)), rng.randint(0, q.keep))) for q in questions]

    points = answered(tournament(n, STAGES, rng), judge)
    assert len(points) == n
    assert all(0 <= point <= len(STAGES) for point in points)
    if n >= 100:
        assert min(points) == 0
