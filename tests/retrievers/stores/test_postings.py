from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rag.core.errors import IndexProblem
from retrievers.stores.postings import Columns, Postings
from retrievers.stores.sums import Sums


def weighted_rows(seed: int, n_docs: int = 200, n_terms: int = 30) -> list[dict[int, int]]:
    """Term -> whole weight of each document, so large that float32 would round their products."""
    chance = np.random.default_rng(seed)
    rows = []
    for _ in range(n_docs):
        terms = np.sort(chance.choice(n_terms, size=chance.integers(0, 8), replace=False))
        rows.append({int(term): int(chance.integers(1, 5000)) for term in terms})
    return rows


def columns_of(rows: list[dict[int, int]]) -> Columns:
    starts = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    terms = np.array([term for row in rows for term in row], dtype=np.int32)
    weights = np.array([weight for row in rows for weight in row.values()], dtype=np.int32)
    return Columns.of_rows(terms, weights, starts)


@pytest.mark.parametrize("seed", range(3))
def test_weights_of_anyone_are_searched_with_either_engine(tmp_path: Path, seed: int) -> None:
    rows = weighted_rows(seed)
    columns_of(rows).write(tmp_path)
    columns = Columns.read(tmp_path)
    assert isinstance(columns.impacts.base, np.memmap)
    numbers = {f"t{term}": term for term in range(len(columns.starts) - 1)}
    postings = Postings(columns, numbers=numbers, n_docs=len(rows))
    wanted = {"t3": 1.0, "t8": 1.0, "unknown": 1.0}
    scores = [row.get(3, 0) + row.get(8, 0) for row in rows]
    expected = sorted((row for row, score in enumerate(scores) if score), key=lambda row: (-scores[row], row))[:10]
    for engine in ("numpy", "numba"):
        found, values = postings.search([wanted], k=10, mask=None, engine=engine, threads=1)  # type: ignore[arg-type]
        assert found[0].tolist() == expected + [-1] * (10 - len(expected))
        assert values[0, : len(expected)].tolist() == [scores[row] for row in expected]
    assert postings.document_frequency("t3") == sum(3 in row for row in rows)
    assert postings.document_frequency("unknown") == 0


def test_a_corpus_without_terms_has_no_postings(tmp_path: Path) -> None:
    columns_of([{}, {}]).write(tmp_path)
    assert Sums(Columns.read(tmp_path), n_docs=2).of({0: 1}).tolist() == [0.0, 0.0]


def test_arrays_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    columns_of(weighted_rows(0)).write(tmp_path)
    np.save(tmp_path / "rows.npy", np.zeros(1, dtype=np.int32))
    with pytest.raises(IndexProblem, match="do not fit together"):
        Columns.read(tmp_path)
