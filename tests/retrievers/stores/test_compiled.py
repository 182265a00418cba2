"""Compiled search over postings: the hits and the bits of numpy, and never beyond the arrays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.core.errors import IndexProblem
from retrievers.stores import compiled
from retrievers.stores.compiled import Column, CompiledSearch, EngineChoice, kernel
from retrievers.stores.population import population_of
from retrievers.stores.postings import Columns, Postings, search_columns, sum_columns, summed

N_TERMS = 6
NUMBERS = {f"t{term}": term for term in range(N_TERMS)}
WEIGHTS = st.one_of(st.integers(1, 20).map(float), st.floats(2e-6, 1e6), st.floats(-3, 1e-6).filter(bool))
QUERIES = st.lists(st.dictionaries(st.sampled_from([*NUMBERS, "unknown"]), WEIGHTS, max_size=5), max_size=9)


def postings_of(seed: int, n_docs: int, *, levels: int, unit: float = 1 / 7) -> Postings:
    """Each document has some of the terms, with one of so many impacts: with few levels there are many ties."""
    chance = np.random.default_rng(seed)
    rows, terms = np.nonzero(chance.random((n_docs, N_TERMS)) < chance.random(N_TERMS) ** 3)
    impacts = (chance.integers(1, levels + 1, len(rows)) * unit).astype(np.float32)
    starts = np.searchsorted(rows, np.arange(n_docs + 1)).astype(np.int64)
    columns = Columns.of_rows(terms.astype(np.int32), impacts, starts)
    missing = N_TERMS + 1 - len(columns.starts)  # terms that no document has
    columns = replace(columns, starts=np.append(columns.starts, np.full(missing, columns.starts[-1])))
    return Postings(columns, numbers=NUMBERS, n_docs=n_docs)


@given(
    seed=st.integers(0, 1_000),
    n_docs=st.sampled_from([1, 63, 64, 65, 1_000, 5_000]),
    levels=st.sampled_from([1, 3, 10_000]),
    unit=st.sampled_from([1e-40, 1e-37, 1 / 7, 1e19]),
    k=st.sampled_from([1, 2, 7, 100]),
    share=st.sampled_from([None, 0.0, 0.01, 0.5]),
    queries=QUERIES,
    threads=st.integers(1, 2),
)
def test_hits_and_bits_are_those_of_numpy(
    seed: int,
    n_docs: int,
    levels: int,
    unit: float,
    k: int,
    share: float | None,
    queries: list[dict[str, float]],
    threads: int,
) -> None:
    postings = postings_of(seed, n_docs, levels=levels, unit=unit)
    mask = None if share is None else np.random.default_rng(seed).random(n_docs) < share
    fast, plain = (
        postings.search(queries, k=k, mask=mask, engine=engine, threads=threads)  # type: ignore[arg-type]
        for engine in ("numba", "numpy")
    )
    assert fast[0].tolist() == plain[0].tolist()
    assert fast[1].tobytes() == plain[1].tobytes()


@pytest.mark.parametrize("levels", [1, 3, 10_000])
@pytest.mark.parametrize("k", [1, 20, 2_000, 150_000])
@pytest.mark.parametrize("share", [None, 0.001, 0.5])
def test_hits_of_several_stretches_are_those_of_numpy(levels: int, k: int, share: float | None) -> None:
    """Ties lie in all stretches, and the lowest rows come first."""
    n_docs = 2 * kernel().STRETCH + 1_000
    postings = postings_of(levels, n_docs, levels=levels)
    mask = None if share is None else np.random.default_rng(k).random(n_docs) < share
    queries = [{"t0": 1.0, "t1": 0.3}, {"t5": 3.0}, {"t2": 1.0, "t3": 0.77, "t4": 2.0}, {"unknown": 1.0}]
    fast, plain = (
        postings.search(queries, k=k, mask=mask, engine=engine, threads=1)  # type: ignore[arg-type]
        for engine in ("numba", "numpy")
    )
    assert np.array_equal(fast[0], plain[0])
    assert fast[1].tobytes() == plain[1].tobytes()


@given(
    seed=st.integers(0, 1_000),
    n_docs=st.sampled_from([64, 3_000]),
    query=st.dictionaries(st.sampled_from([*NUMBERS]), WEIGHTS),
)
def test_columns_that_lie_anywhere_give_the_same(seed: int, n_docs: int, query: dict[str, float]) -> None:
    postings = postings_of(seed, n_docs, levels=50)
    columns = [Column(*postings._column(NUMBERS[term]), weight) for term, weight in query.items()]
    rows, scores = np.full((1, 9), -1, dtype=np.int32), np.zeros((1, 9), dtype=np.float32)
    search_columns(EngineChoice(n_docs), columns, (rows, scores), mask=None, engine="numba")
    hits, values = sum_columns(columns, n_docs=n_docs, k=9, mask=None)
    assert rows[0, : len(hits)].tolist() == hits.tolist()
    assert scores[0, : len(hits)].tobytes() == values.tobytes()
    assert set(rows[0, len(hits) :].tolist()) <= {-1}


@given(
    seed=st.integers(0, 1_000),
    n_docs=st.sampled_from([1, 64, 3_000]),
    levels=st.sampled_from([1, 3, 10_000]),
    query=st.dictionaries(st.sampled_from([*NUMBERS]), WEIGHTS),
)
def test_scores_of_all_rows_and_what_they_sum_to_are_those_of_numpy(
    seed: int, n_docs: int, levels: int, query: dict[str, float]
) -> None:
    postings = postings_of(seed, n_docs, levels=levels)
    columns = [Column(*postings._column(NUMBERS[term]), weight) for term, weight in query.items()]
    fast, plain = (summed(EngineChoice(n_docs), columns, engine=engine) for engine in ("numba", "numpy"))  # type: ignore[arg-type]
    assert fast.scores.tobytes() == plain.scores.tobytes()
    told = [population_of(n_docs, each.total, each.squares) for each in (fast, plain)]
    exact = plain.scores.astype(np.float64)
    step = float(
        np.finfo(np.float32).smallest_subnormal
    )  # below 1e-38 a float32 has few digits: one step is all it can say
    assert [each.mean for each in told] == pytest.approx([exact.mean()] * 2, rel=1e-6, abs=step)
    spread = max(1e-6 * abs(exact).max(), step)
    assert [each.deviation for each in told] == pytest.approx([exact.std()] * 2, rel=1e-6, abs=spread)


@given(
    seed=st.integers(0, 1_000),
    n_docs=st.sampled_from([1, 63, 64, 65, 5_000]),
    levels=st.sampled_from([1, 3, 10_000]),
    k=st.sampled_from([1, 2, 7, 100]),
    query=st.dictionaries(st.sampled_from([*NUMBERS, "unknown"]), WEIGHTS, max_size=5),
)
def test_a_question_asked_alone_finds_what_it_finds_among_others_and_leaves_what_is_kept(
    seed: int, n_docs: int, levels: int, k: int, query: dict[str, float]
) -> None:
    postings = postings_of(seed, n_docs, levels=levels)
    before = postings.scores(query, np.arange(n_docs)).tobytes()
    for asked in ([query], [query, {"t0": 1.0}], [query]):
        rows, scores = postings.search(asked, k=k, mask=None, engine="numba", threads=1)
        hits, values = postings.search(asked, k=k, mask=None, engine="numpy", threads=1)
        assert rows.tolist() == hits.tolist()
        assert scores.tobytes() == values.tobytes()
    assert postings.scores(query, np.arange(n_docs)).tobytes() == before


def test_numpy_answers_until_it_was_busy_for_as_long_as_compiling_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "is_compiled", lambda: False)
    choice = EngineChoice(5)
    assert choice.compiled("auto") is None
    choice._numpy_s = 1e9
    assert choice.compiled("numpy") is None
    assert choice.compiled("auto") is choice.compiled("numba") is not None


def test_what_one_index_had_compiled_another_uses_at_once() -> None:
    EngineChoice(5).compile()
    assert EngineChoice(9).compiled("auto") is not None


def test_compiled_code_never_reads_or_writes_beyond_the_arrays() -> None:
    whole = postings_of(3, 200, levels=9)
    query = dict.fromkeys(NUMBERS, 1.0)
    few = Postings(whole.columns, numbers=NUMBERS, n_docs=20)
    with pytest.raises(IndexProblem, match="a row or a column that is not in the index"):
        few.search([query], k=3, mask=None, engine="numba", threads=1)
    for starts in ([0, 5, 3, 9, 9, 9, 9], [0, 1, 2, 3, 4, 5, 10**6], [-4, 1, 2, 3, 4, 5, 6]):
        broken = Postings(replace(whole.columns, starts=np.array(starts, dtype=np.int64)), numbers=NUMBERS, n_docs=200)
        with pytest.raises(IndexProblem, match="Build the index again"):
            broken.search([query], k=3, mask=None, engine="numba", threads=1)
    beyond = [Column(np.array([200], dtype=np.int32), np.ones(1, dtype=np.float32), 1.0)]
    with pytest.raises(IndexProblem, match="Build the index again"):
        summed(EngineChoice(200), beyond, engine="numba")
    for value in (np.nan, np.inf, -1.0):
        impacts = np.where(np.arange(len(whole.columns.impacts)) == 7, value, whole.columns.impacts).astype(np.float32)
        broken = Postings(replace(whole.columns, impacts=impacts), numbers=NUMBERS, n_docs=200)
        with pytest.raises(IndexProblem, match="a weight is broken"):
            broken.search([query], k=3, mask=None, engine="numba", threads=1)
    negative = replace(whole.columns, rows=np.full_like(whole.columns.rows, -1))
    with pytest.raises(IndexProblem, match="Build the index again"):
        Postings(negative, numbers=NUMBERS, n_docs=200).search([query], k=3, mask=None, engine="numba", threads=1)


def test_a_fault_leaves_nothing_behind() -> None:
    """Scores of a search that failed midway are not found by the next one."""
    search = CompiledSearch(100)
    good = Column(np.arange(50, dtype=np.int32), np.ones(50, dtype=np.float32), 1.0)
    bad = Column(np.array([500], dtype=np.int32), np.ones(1, dtype=np.float32), 1.0)
    out = np.full((1, 5), -1, dtype=np.int32), np.zeros((1, 5), dtype=np.float32)
    with pytest.raises(IndexProblem):
        search.search([good, bad], out, mask=None)
    search.search([], out, mask=None)
    assert out[0].tolist() == [[-1] * 5]
    search.search([good], out, mask=None)
    assert out[0].tolist() == [[0, 1, 2, 3, 4]]
