"""Sums over postings: of whole numbers exactly, compiled as in numpy, and never beyond the rows that there are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.core.errors import IndexProblem
from retrievers.stores.postings import Columns
from retrievers.stores.sums import Sums
from tests.retrievers.stores.test_postings import columns_of, weighted_rows

N_DOCS, N_TERMS = 60, 12
weights = st.floats(2.0**-20, 2.0**20, width=32)
documents = st.lists(st.dictionaries(st.integers(0, N_TERMS - 1), weights, max_size=6), min_size=1, max_size=N_DOCS)
asked = st.dictionaries(st.integers(-1, N_TERMS + 3), st.floats(1e-6, 1e6), max_size=8)


def made(rows: list[dict[int, float]]) -> Columns:
    terms = np.array([term for row in rows for term in sorted(row)], dtype=np.int32)
    values = np.array([row[term] for row in rows for term in sorted(row)], dtype=np.float32)
    return Columns.of_rows(terms, values, np.cumsum([0, *map(len, rows)], dtype=np.int64))


@pytest.mark.parametrize("seed", range(5))
def test_sums_are_those_of_a_look_at_every_document(seed: int) -> None:
    rows = weighted_rows(seed)
    query = {3: 4999, 7: 12, 8: 3001, 29: 1, 5000: 9}  # the last is no document's
    expected = [sum(weight * query.get(term, 0) for term, weight in row.items()) for row in rows]
    sums = Sums(columns_of(rows), n_docs=len(rows))
    assert sums.of(query).tolist() == expected
    sums.compile()
    assert sums.of(query).tolist() == expected


@given(rows=documents, query=asked)
def test_compiled_sums_have_the_same_bits(rows: list[dict[int, float]], query: dict[int, float]) -> None:
    plain, compiled = (Sums(made(rows), n_docs=len(rows), engine=engine) for engine in ("numpy", "numba"))  # type: ignore[arg-type]
    assert compiled.of(query).tobytes() == plain.of(query).tobytes()


@given(rows=documents, query=asked, k=st.integers(1, 20), seed=st.integers(0, 9))
def test_the_best_and_all_that_tie_with_the_last(
    rows: list[dict[int, float]], query: dict[int, float], k: int, seed: int
) -> None:
    sums = Sums(made(rows), n_docs=len(rows))
    mask = np.random.default_rng(seed).random(len(rows)) < 0.7 if seed else None
    found, values = sums.best(query, k=k, mask=mask)
    scores = sums.of(query)
    allowed = [row for row in range(len(rows)) if scores[row] > 0 and (mask is None or mask[row])]
    least = sorted((scores[row] for row in allowed), reverse=True)[:k]
    assert found.tolist() == [row for row in allowed if scores[row] >= min(least, default=0)]
    assert values.tolist() == [scores[row] for row in found]


def test_it_compiles_once_numpy_was_busy_for_as_long() -> None:
    sums = Sums(columns_of(weighted_rows(0)), n_docs=200)
    sums.of({3: 1.0})
    assert sums._compiled is None
    sums._numpy_s = 1e9
    sums.of({3: 1.0})
    assert sums._compiled is not None


def test_compiled_code_never_writes_beyond_the_rows() -> None:
    columns = columns_of(weighted_rows(0))
    with pytest.raises(IndexProblem, match="a row that is not in the index"):
        Sums(columns, n_docs=3).compile()
    starts = columns.starts.copy()
    starts[2] = len(columns.rows) + 5
    with pytest.raises(IndexProblem, match="overlap"):
        Sums(replace(columns, starts=starts), n_docs=200).compile()
