"""The track's measures of snippets, worked by hand."""

from __future__ import annotations

import pytest

from ragline_recipes.snippet_scores import score_snippets

GOLD = [("d", (10, 20)), ("d", (30, 40)), ("e", (0, 20))]  # 40 characters


def test_characters_that_overlap_count_once() -> None:
    """Given 10 to 30 of d (twice, in parts) and 0 to 5 of e: 25 characters, of which 10 + 5 are gold."""
    scores = score_snippets([("d", (10, 25)), ("d", (20, 30)), ("e", (0, 5))], GOLD)
    assert scores.precision == pytest.approx(15 / 25)
    assert scores.recall == pytest.approx(15 / 40)
    assert scores.f1 == pytest.approx(2 * 15 / 65)


def test_average_precision_by_ranks() -> None:
    """Right at ranks 1 and 3: (1/1 + 2/3) / 3 gold ones."""
    given = [("d", (19, 21)), ("f", (0, 9)), ("e", (5, 6))]
    assert score_snippets(given, GOLD).ap == pytest.approx((1 + 2 / 3) / 3)


def test_average_precision_is_over_what_may_be_given_where_that_is_less() -> None:
    assert score_snippets([("e", (0, 1))], GOLD, most=1).ap == 1.0
    assert score_snippets([("e", (0, 1))], GOLD, most=2).ap == 0.5


def test_several_pieces_of_one_gold_snippet_do_not_score_above_one() -> None:
    given = [("e", (n, n + 1)) for n in range(4)]
    assert score_snippets(given, [("e", (0, 20))]).ap == 1.0


def test_what_lies_behind_the_last_that_counts_is_not_looked_at() -> None:
    scores = score_snippets([("f", (0, 1)), ("e", (0, 20))], GOLD, most=1)
    assert (scores.precision, scores.recall, scores.f1, scores.ap) == (0, 0, 0, 0)


def test_nothing_given_scores_nothing_and_no_gold_is_refused() -> None:
    scores = score_snippets([], GOLD)
    assert (scores.precision, scores.recall, scores.f1, scores.ap) == (0, 0, 0, 0)
    with pytest.raises(ValueError, match="no gold snippet"):
        score_snippets([("d", (0, 1))], [])


def test_the_gold_itself_is_perfect() -> None:
    scores = score_snippets(GOLD, GOLD)
    assert (scores.precision, scores.recall, scores.f1, scores.ap) == (1, 1, 1, 1)
