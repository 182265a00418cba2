from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from rerankers.attention.reading.score import calibrated, document_scores


def tokens(*values: float) -> NDArray[np.float64]:
    return np.array(values, dtype=np.float64)


def test_the_null_query_is_subtracted_with_its_strength() -> None:
    real, null = np.array([3, 2], dtype=np.float32), np.array([1, 4], dtype=np.float32)
    assert calibrated(real, null, strength=0.5).tolist() == [2.5, 0.0]
    assert calibrated(real, None, strength=0.5).tolist() == [3.0, 2.0]


def test_a_document_scores_the_sum_over_its_own_span() -> None:
    scores = document_scores(tokens(9, 1, 2, 9, 4, 5, 9), [(1, 3), (4, 6)], sigma=None)
    assert scores.tolist() == [3.0, 9.0]


def test_abnormally_low_tokens_are_left_out() -> None:
    # Eight 1s and one -10: mean -2/9, deviation 11/3 with n - 1, so the bound is -7.56. With n it would be -7.14.
    low = tokens(1, 1, 1, 1, 1, 1, 1, 1, -10)
    assert document_scores(low, [(0, 9)], sigma=2.0).tolist() == [8.0]
    assert document_scores(low, [(0, 9)], sigma=None).tolist() == [-2.0]


def test_the_deviation_divides_by_n_minus_one() -> None:
    # 0, 0, 0, -4: mean -1, deviation 2 with n - 1 (bound -4 at 1.5 sigma), sqrt(3) with n (bound -3.6).
    assert document_scores(tokens(0, 0, 0, -4), [(0, 4)], sigma=1.5).tolist() == [-4.0]


def test_abnormally_high_tokens_stay() -> None:
    high = tokens(1, 1, 1, 1, 1, 1, 1, 1, 100)
    assert document_scores(high, [(0, 9)], sigma=2.0).tolist() == [108.0]


def test_the_filter_works_within_each_document() -> None:
    # -10 is low among the first document's tokens and normal among the second's.
    both = tokens(1, 1, 1, 1, 1, 1, 1, 1, -10, -10, -11)
    assert document_scores(both, [(0, 9), (9, 11)], sigma=2.0).tolist() == [8.0, -21.0]


@pytest.mark.parametrize(("span", "score"), [((0, 1), 7.0), ((0, 0), 0.0)])
def test_one_token_or_none_has_no_deviation(span: tuple[int, int], score: float) -> None:
    assert document_scores(tokens(7, 8), [span], sigma=2.0).tolist() == [score]


def test_tokens_that_are_all_alike_stay() -> None:
    assert document_scores(tokens(0.1, 0.1, 0.1), [(0, 3)], sigma=2.0)[0] == pytest.approx(0.3)


def test_pools() -> None:
    some, span = tokens(1, 2, 3, 10), [(0, 4)]
    assert document_scores(some, span, sigma=None, pool="mean").tolist() == [4.0]
    assert document_scores(some, span, sigma=None, pool="top_mean", top_tokens=2).tolist() == [6.5]
    assert document_scores(some, span, sigma=None, pool="top_mean", top_tokens=9).tolist() == [4.0]
