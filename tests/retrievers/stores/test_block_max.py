"""Blocks that are left out change no hit and no bit of a score: beside all sums, over any postings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrievers.stores import block_max
from retrievers.stores.block_max import BlockMax
from retrievers.stores.postings import Columns, best_sums

N_TERMS = 12
TERMS = st.integers(0, N_TERMS - 1)
FEW_WEIGHTS = st.sampled_from([0.25, 0.5, 1.0, 3.0])
"""So few that many documents tie."""
ANY_WEIGHT = st.floats(np.finfo(np.float32).smallest_subnormal, 1e6, width=32)
WHOLE = st.integers(1, 2**20)


def rows_of(weights: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[int, Any]]]:
    return st.lists(st.dictionaries(TERMS, weights, max_size=6), max_size=60)


def queries_of(weights: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[int, Any]]:
    """Terms that nobody has among them."""
    return st.dictionaries(st.integers(-1, N_TERMS + 3), weights, max_size=8)


def columns_of(rows: list[dict[int, Any]], kind: Any = np.float32) -> Columns:
    starts = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    terms = np.array([term for row in rows for term in row], dtype=np.int32)
    return Columns.of_rows(terms, np.array([weight for row in rows for weight in row.values()], dtype=kind), starts)


def assert_same(rows: list[dict[int, Any]], query: dict[int, Any], k: int, block: int, mask: Any = None) -> None:
    columns = columns_of(rows)
    expected = best_sums(columns, query, n_docs=len(rows), k=k, mask=mask)
    found = BlockMax(columns, n_docs=len(rows), block=block).pruned(query, k=k, mask=mask)
    assert found[0].tolist() == expected[0].tolist()
    assert found[1].tolist() == expected[1].tolist()


@pytest.mark.parametrize("weights", [FEW_WEIGHTS, ANY_WEIGHT, WHOLE], ids=["ties", "any", "whole"])
@given(data=st.data(), k=st.integers(1, 70), block=st.integers(1, 9))
def test_hits_and_scores_are_those_of_all_sums(weights: Any, data: st.DataObject, k: int, block: int) -> None:
    """A k above all documents, a query without terms and documents without terms among them."""
    assert_same(data.draw(rows_of(weights)), data.draw(queries_of(weights)), k, block)


@given(data=st.data(), rows=rows_of(FEW_WEIGHTS), query=queries_of(ANY_WEIGHT), k=st.integers(1, 20))
def test_a_filter_counts_before_blocks_are_left_out(
    data: st.DataObject, rows: list[dict[int, float]], query: dict[int, float], k: int
) -> None:
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))), dtype=np.bool_)
    assert_same(rows, query, k, 4, mask)


def clustered(seed: int, n_docs: int) -> list[dict[int, float]]:
    """Documents whose neighbours are alike, as passages of one page are."""
    chance = np.random.default_rng(seed)
    rows = []
    for row in range(n_docs):
        own = {int(term) for term in chance.choice(N_TERMS, 4)} if row % 50 else set(range(N_TERMS))
        topic = np.random.default_rng(row // 40).random(N_TERMS) ** 6
        rows.append({term: float(topic[term] + 0.05 * chance.random()) for term in sorted(own)})
    return rows


@pytest.mark.parametrize("seed", range(3))
def test_most_postings_are_not_read_where_few_blocks_can_matter(seed: int) -> None:
    """Counted where postings are summed: the blocks of the second round are few."""
    rows, counted = clustered(seed, 4000), []
    columns = columns_of(rows)

    class Counting(BlockMax):
        def _sums(self, parts: Any, weights: Any, blocks: Any) -> Any:
            counted.append(len(blocks))
            return super()._sums(parts, weights, blocks)

    search, query = Counting(columns, n_docs=len(rows), block=16), {1: 2.0, 5: 1.0, 7: 0.3}
    found = search.pruned(query, k=5, mask=None)
    expected = best_sums(columns, query, n_docs=len(rows), k=5, mask=None)
    assert np.array_equal(found[0], expected[0])
    assert np.array_equal(found[1], expected[1])
    assert counted[-1] < 250 / 4, "of 250 blocks"


def test_small_collections_deep_lists_and_negative_weights_are_searched_by_all_sums(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = clustered(0, 400)
    columns = columns_of(rows)

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("blocks were asked for")

    monkeypatch.setattr(BlockMax, "pruned", refuse)
    query = {1: 2.0, 5: 1.0}
    small = BlockMax(columns, n_docs=400, block=4)
    assert (
        small.best(query, k=5, mask=None)[0].tolist()
        == best_sums(columns, query, n_docs=400, k=5, mask=None)[0].tolist()
    )
    monkeypatch.setattr(block_max, "FEWEST", 400)
    for asked, k in ((query, 26), ({1: 2.0, 5: -1.0}, 5)):
        expected = best_sums(columns, asked, n_docs=400, k=k, mask=None)
        assert small.best(asked, k=k, mask=None)[0].tolist() == expected[0].tolist()
    with pytest.raises(AssertionError, match="blocks were asked for"):
        small.best(query, k=25, mask=None)
