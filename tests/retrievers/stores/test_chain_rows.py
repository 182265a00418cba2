"""Rows and arrays of parts, beside those of one array of what is left; exact search over both, to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.core.progress import silent
from retrievers.stores import flat
from retrievers.stores.chain_rows import ChainedArray, ChainRows

parts_and_gone = st.lists(
    st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1)))), min_size=1, max_size=5
)


def whole_and_chained(
    parts: list[tuple[int, set[int]]], **more: Any
) -> tuple[np.ndarray[Any, Any], ChainedArray, ChainRows]:
    sizes = [n for n, _ in parts]
    gone = [np.array(sorted(each), dtype=np.int32) for _, each in parts]
    arrays, first = [], 0
    for n in sizes:
        arrays.append(np.arange(first, first + 2 * n, dtype=np.float32).reshape(n, 2))
        first += 2 * n
    rows = ChainRows(sizes, gone)
    left = [np.delete(array, each, axis=0) for array, each in zip(arrays, gone, strict=True)]
    return np.concatenate(left), ChainedArray(arrays, rows, **more), rows


@given(parts=parts_and_gone, data=st.data())
def test_a_chained_array_is_read_as_one(parts: list[tuple[int, set[int]]], data: st.DataObject) -> None:
    whole, chained, rows = whole_and_chained(parts, budget_bytes=40)
    assert (chained.shape, chained.dtype, chained.ndim, len(chained)) == (whole.shape, whole.dtype, 2, len(rows))
    for _ in range(3):
        cut = slice(*sorted(data.draw(st.tuples(*[st.integers(0, len(whole) + 2)] * 2))))
        assert chained[cut].tolist() == whole[cut].tolist()
    assert sum(each.nbytes for each in chained._kept.values()) <= 40
    if len(whole):
        chosen = np.array(data.draw(st.lists(st.integers(0, len(whole) - 1))), dtype=np.int64)
        assert chained[chosen].tolist() == whole[chosen].tolist()
        assert chained[int(len(whole) - 1)].tolist() == whole[-1].tolist()


@given(parts=parts_and_gone)
def test_every_row_has_its_place(parts: list[tuple[int, set[int]]]) -> None:
    _, _, rows = whole_and_chained(parts)
    places = [(part, own) for part, (n, gone) in enumerate(parts) for own in range(n) if own not in gone]
    assert [rows.own(row) for row in range(len(rows))] == places
    all_rows = [
        (part, own, int(row))
        for part, (n, _) in enumerate(parts)
        for own, row in enumerate(rows.rows(part, np.arange(n, dtype=np.int32)))
    ]
    assert [(part, own) for part, own, row in all_rows if row >= 0] == places
    assert [row for _, _, row in all_rows if row >= 0] == list(range(len(rows)))
    split = rows.own_rows(np.arange(len(rows)))
    assert [(part, int(own)) for part, each in enumerate(split) for own in each] == places


@pytest.mark.parametrize("n_queries", [1, 40])  # faiss multiplies matrices for many
def test_flat_vectors_in_parts_are_searched_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_queries: int
) -> None:
    monkeypatch.setattr(flat, "_BLOCK", 70)
    chance = np.random.default_rng(0)
    sizes, gone = (150, 3, 90), (sorted(chance.permutation(150)[:40].tolist()), [], [0, 89])
    folders, left = [], []
    for number, (size, removed) in enumerate(zip(sizes, gone, strict=True)):
        vectors = chance.normal(size=(size, 33)).astype(np.float32)
        vectors[size // 2 :: 7] = vectors[0]  # ties
        folders.append(tmp_path / str(number))
        folders[-1].mkdir()
        flat.write(vectors, folders[-1], progress=silent)
        left.append(np.delete(vectors, removed, axis=0))
    rows = ChainRows(sizes, [np.array(each, dtype=np.int32) for each in gone])
    chained, whole = flat.read_chain(folders, rows), flat.MappedStore(np.concatenate(left))
    queries = chance.normal(size=(n_queries, 33)).astype(np.float32)
    for mask in (None, chance.random(len(rows)) < 0.3):
        for k in (1, 5, 150):
            mine, theirs = (store.search(queries, k=k, mask=mask) for store in (chained, whole))
            assert [each.tobytes() for each in mine] == [each.tobytes() for each in theirs]


def test_parts_of_other_sizes_are_refused(tmp_path: Path) -> None:
    flat.write(np.zeros((3, 2), np.float32), tmp_path, progress=silent)
    with pytest.raises(ValueError, match="do not fit together"):
        flat.read_chain([tmp_path], ChainRows([4], [None]))
