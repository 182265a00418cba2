from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generators.llm.sharing import alike, portions

HEADS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2), st.integers(1, 3)).map(
        lambda n: [5] * 4 + [10 + n[0]] * 16 + [20 + n[1]] * 20 + [30 + n[2]] * 3 + [40 + n[3]] * n[3]
    ),
    max_size=12,
)


@given(HEADS)
def test_families_begin_alike_and_no_row_is_in_two(heads: list[list[int]]) -> None:
    families = alike(heads)
    rows = [row for _, family in families for row in family]
    assert len(rows) == len(set(rows))
    for length, family in families:
        assert len(family) > 1
        assert length >= 16
        assert len({tuple(heads[row][:length]) for row in family}) == 1
        assert all(length < len(heads[row]) for row in family)


def test_the_cut_that_spares_most_is_taken() -> None:
    instruction, query, one, other = [1] * 20, [2] * 20, [3] * 40, [4] * 40
    few = [instruction + query + tail + [end] for tail in (one, other) for end in (7, 8)]
    assert alike(few) == [(80, [0, 1]), (80, [2, 3])]  # 160 spared; all four together would spare 120
    many = [instruction + query + [50 + at] * 45 for at in range(6)]
    assert alike(few + many) == [(40, list(range(10)))]  # 360 spared, against 160
    assert alike([[1] * 40, [2] * 40]) == []
    assert alike([[1] * 10 + [at] for at in range(9)]) == []  # too short to pay
    assert alike([[1] * 30, [1] * 30]) == [(29, [0, 1])]  # the last token is always read


def test_beginnings_that_nest_without_end_are_cut_all_the_same() -> None:
    nested = [[1] * (20 + at) for at in range(1500)]
    assert sum(len(family) for _, family in alike(nested)) <= 1500


@given(HEADS, st.integers(60, 300), st.integers(1, 4), st.booleans(), st.integers(0, 4))
def test_every_row_is_read_once_within_the_bounds(
    heads: list[list[int]], tokens: int, rows: int, share: bool, blocks: int
) -> None:
    kept = [min(16 * (blocks + at % 2), (len(head) - 1) // 16 * 16) for at, head in enumerate(heads)]
    found = list(portions(heads, list(map(len, heads)), kept, extra=2, tokens=tokens, rows=rows, share=share))
    assert sorted(row for portion in found for row in portion.rows) == list(range(len(heads)))
    for portion in found:
        assert len(portion.rows) <= rows
        assert share or not portion.prefixes
        rests = [len(heads[row]) for row in portion.rows]
        if portion.prefixes:
            for row, owner in zip(portion.rows, portion.owners, strict=True):
                assert heads[row][: len(portion.prefixes[owner])] == portion.prefixes[owner]
            rests = [
                len(heads[row]) - len(portion.prefixes[owner])
                for row, owner in zip(portion.rows, portion.owners, strict=True)
            ]
        width = max(rests) + max(map(len, portion.prefixes), default=0) + 2
        assert len(portion.rows) == 1 or len(portion.rows) * width <= tokens


def test_cached_counts_all_but_the_first_of_each_prefix() -> None:
    heads = [[1] * 20 + [2] * 20 + [at] for at in range(3)] + [[9] * 30 + [at] for at in range(2)]
    [portion] = portions(heads, list(map(len, heads)), [0] * len(heads), extra=0, tokens=9999, rows=99, share=True)
    assert portion.rows == [0, 1, 2, 3, 4]
    assert portion.cached([0, 0]) == [0, 40, 40, 0, 30]


def test_little_in_common_is_not_worth_a_second_pass() -> None:
    heads = [[1] * 16 + [at] * 300 for at in range(9)]
    [portion] = portions(heads, list(map(len, heads)), [0] * len(heads), extra=0, tokens=99999, rows=99, share=True)
    assert portion.prefixes == []


def test_who_is_kept_as_far_as_the_others_agree_goes_alone() -> None:
    heads = [[1] * 20 + [2] * 28 + [at] * 9 for at in range(4)]
    lengths = list(map(len, heads))
    [alone, together] = sorted(
        portions(heads, lengths, [48, 16, 16, 16], extra=0, tokens=9999, rows=99, share=True),
        key=lambda one: len(one.rows),
    )
    assert (alone.rows, alone.prefixes) == ([0], [])
    assert (together.rows, together.prefixes) == ([1, 2, 3], [heads[0][:48]])
    assert together.cached([16]) == [16, 48, 48]  # the first reads what is not kept of it
    [rest] = portions(heads, lengths, [48] * 4, extra=0, tokens=9999, rows=99, share=True)
    assert rest.prefixes == []
    assert rest.cached([48] * 4) == [48] * 4


@pytest.mark.parametrize("size", range(2, 6))
def test_two_levels_against_all_partitions(size: int) -> None:
    """Brute force over cuts of the sorted rows."""
    heads = [[1] * 16 + [at // 2] * 17 + [at] * 3 for at in range(size)]

    def spared(start: int, end: int) -> int:
        length = 0
        while all(len(h) - 1 > length and h[length] == heads[start][length] for h in heads[start:end]):
            length += 1
        return length * (end - start - 1) if length >= 16 else 0

    best = max(
        sum(spared(a, b) for a, b in zip((0, *cuts), (*cuts, size), strict=True))
        for n in range(size)
        for cuts in combinations(range(1, size), n)
    )
    assert sum(length * (len(family) - 1) for length, family in alike(heads)) == best
