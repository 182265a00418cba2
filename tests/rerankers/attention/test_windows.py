from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rerankers.attention.icr.reranker import by_score, slide


class Relevance:
    """Scores positions by a fixed table and remembers every window it was shown."""

    def __init__(self, values: Sequence[float]) -> None:
        self.values, self.seen = values, list[list[int]]()

    def __call__(self, positions: Sequence[int]) -> NDArray[np.float64]:
        self.seen.append(list(positions))
        return np.array([self.values[p] for p in positions], dtype=np.float64)


def test_equal_scores_keep_their_order() -> None:
    assert by_score([4, 2, 7], np.array([1.0, 3.0, 1.0])) == [2, 4, 7]


def test_windows_go_from_tail_to_head_and_carry_the_best() -> None:
    score = Relevance([0, 1, 2, 3, 4, 5])
    order, n_windows = slide(6, score, window=4, stride=2)
    # 2 3 4 5 leaves 3 and 2 as the tail; 0 and 1 join the carried 5 and 4.
    assert score.seen == [[2, 3, 4, 5], [0, 1, 5, 4]]
    assert order == [5, 4, 1, 0, 3, 2]
    assert n_windows == 2


def test_a_head_shorter_than_the_stride_ends_it() -> None:
    score = Relevance([9, 0, 0, 0, 5])
    order, _ = slide(5, score, window=4, stride=3)
    assert score.seen == [[1, 2, 3, 4], [0, 4]]
    assert order == [0, 4, 1, 2, 3]


def test_all_in_one_window_is_a_sort() -> None:
    assert slide(3, Relevance([1, 3, 2]), window=5, stride=1) == ([1, 2, 0], 1)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30), st.integers(2, 8), st.data())
def test_every_position_comes_out_once_and_the_best_first(
    values: list[float], window: int, data: st.DataObject
) -> None:
    stride = data.draw(st.integers(1, window - 1))
    score = Relevance(values)
    order, n_windows = slide(len(values), score, window=window, stride=stride)
    assert sorted(order) == list(range(len(values)))
    assert values[order[0]] == max(values)
    assert n_windows == len(score.seen)
    assert max(map(len, score.seen)) <= window


@pytest.mark.parametrize("stride", [0, 4])
def test_windows_have_to_overlap(stride: int) -> None:
    with pytest.raises(ValueError, match=r"stride must be at least 1 and below window \(4\)"):
        slide(9, Relevance([0] * 9), window=4, stride=stride)
