"""Worked examples, and what holds for any sizes."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from rag.ingest.packing import pack


def test_what_fits_is_one_range() -> None:
    assert pack([3, 3, 3], limit=9, overlap=2, least=1) == [(0, 3)]


def test_nothing_packs_to_nothing() -> None:
    assert pack([], limit=9, overlap=2, least=1) == []


def test_ranges_repeat_whole_pieces_within_the_overlap() -> None:
    # 5+5 fill 10. The next begins with the second 5? It is above the overlap of 3, so it repeats nothing.
    assert pack([5, 5, 2, 5, 5], limit=10, overlap=3, least=1) == [(0, 2), (2, 4), (4, 5)]
    # 4+4+2=10. The 2 fits into an overlap of 3 and leaves room for 4+4.
    assert pack([4, 4, 2, 4, 4], limit=10, overlap=3, least=1) == [(0, 3), (2, 5)]


def test_a_last_crumb_is_filled_from_the_range_before() -> None:
    # Greedy: 2+2+2+2+2 and 1. One 2 moves over: 8 and 3, then another: 6 and 5; a third would turn it round.
    assert pack([2, 2, 2, 2, 2, 1], limit=10, overlap=0, least=3) == [(0, 3), (3, 6)]


def test_a_last_range_of_some_size_is_left_alone() -> None:
    assert pack([5, 5, 3], limit=10, overlap=0, least=3) == [(0, 2), (2, 3)]


@given(
    sizes=st.lists(st.integers(1, 20), max_size=60),
    limit=st.integers(20, 50),
    overlap=st.integers(0, 25),
    least=st.integers(0, 10),
)
def test_any_packing_covers_all_in_order_within_the_limit(
    sizes: list[int], limit: int, overlap: int, least: int
) -> None:
    ranges = pack(sizes, limit=limit, overlap=overlap, least=least)
    covered = set[int]()
    for first, last in ranges:
        assert sum(sizes[first:last]) <= limit
        assert last > first
        covered |= set(range(first, last))
    assert covered == set(range(len(sizes)))
    for (first, last), (after, after_last) in pairwise(ranges):
        assert first < after <= last < after_last
        assert sum(sizes[after:last]) <= overlap
