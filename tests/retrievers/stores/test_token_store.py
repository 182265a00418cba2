"""Searching token vectors: equal to late interaction by brute force, whatever is looked at."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch  # noqa: F401 - whole numbers are multiplied by it where it is loaded
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rag.core.errors import IndexProblem
from retrievers.stores import token_store
from retrievers.stores.residuals import Bits, ResidualCodec
from retrievers.stores.token_store import TokenStore, TokenWriter
from retrievers.stores.token_vectors import TokenVectors, max_sim
from tests.retrievers.stores.test_residuals import unit


def written(
    folder: Path, sizes: Sequence[int], *, dim: int = 16, bits: Bits = 4, keep: int | None = None, seed: int = 0
) -> TokenStore:
    """A store of random rows with so many tokens each, in blocks of three rows."""
    vectors = unit(max(1, sum(sizes)), dim, seed=seed)
    codec = ResidualCodec.learn(vectors, n_vectors=len(vectors), bits=bits, dim=keep)
    folder.mkdir(parents=True, exist_ok=True)
    with TokenWriter(folder, codec) as writer:
        begin = 0
        for start in range(0, len(sizes), 3):
            some = sizes[start : start + 3]
            writer.add(codec.encode(vectors[begin : begin + sum(some)]), some)
            begin += sum(some)
    return TokenStore.read(folder, n=len(sizes), turned=codec.axes is not None)


def brute(store: TokenStore, query: NDArray[np.float32]) -> NDArray[np.float64]:
    turned = store.codec.turn(query)
    return np.array([max_sim(turned, store.vectors(row)) for row in range(len(store))])


class TestEquality:
    @pytest.mark.parametrize("bits", [1, 2, 4, 8])
    @pytest.mark.parametrize("keep", [None, 8])
    @pytest.mark.parametrize("whole_numbers", [True, False])
    def test_scores_are_those_of_brute_force(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bits: Bits, keep: int | None, whole_numbers: bool
    ) -> None:
        monkeypatch.setattr(token_store, "multiplies_int8", lambda: whole_numbers)
        monkeypatch.setattr(token_store, "_TOKENS_AT_ONCE", 20)
        store = written(tmp_path, [5, 9, 1, 30, 4, 0, 7, 3], bits=bits, keep=keep)
        query = unit(6, 16, seed=9)
        rows, scores = store.search(query, k=8, probes=1, rescored=8)
        assert rows.tolist() == [0, 1, 2, 3, 4, 6, 7], "a row without a token is no hit"
        assert scores == pytest.approx(brute(store, query)[rows], abs=0.02)

    @pytest.mark.parametrize("bits", [1, 4])
    def test_all_rows_for_several_queries_at_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bits: Bits
    ) -> None:
        monkeypatch.setattr(token_store, "_TOKENS_AT_ONCE", 20 << 4)
        store = written(tmp_path, [0, 5, 9, 1, 30, 4, 0, 7, 3], bits=bits, keep=8)
        queries = [unit(n, 16, seed=n) for n in (6, 1, 3)]
        found = store.exact([store.codec.turn(query) for query in queries])
        assert np.isneginf(found[:, [0, 6]]).all(), "a row without a token is never among the best"
        for query, scores in zip(queries, found, strict=True):
            assert scores[store.filled] == pytest.approx(brute(store, query)[store.filled], abs=1e-5)

    def test_both_ways_to_multiply_give_the_same_bits(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        store, query = written(tmp_path, [5, 9, 1, 30, 4]), unit(6, 16, seed=9)
        made = []
        for whole_numbers in (True, False):
            monkeypatch.setattr(token_store, "multiplies_int8", lambda whole=whole_numbers: whole)
            made.append(store.search(query, k=5, probes=1, rescored=5)[1])
        assert (made[0] == made[1]).all()

    def test_looking_at_all_centroids_finds_what_brute_force_finds(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(3)
        store = written(tmp_path, rng.integers(1, 12, 200).tolist())
        for seed in range(20):
            query = unit(5, 16, seed=100 + seed)
            exact_rows, exact = store.search(query, k=5, probes=1, rescored=200)
            rows, scores = store.search(query, k=5, probes=len(store.codec.centroids), rescored=100)
            best, found = (set(r[np.argsort(-s)[:5]].tolist()) for r, s in ((exact_rows, exact), (rows, scores)))
            assert len(best & found) >= 4, "an estimate by centroids may lose a row that only its residuals bring up"

    def test_fewer_probes_find_less_and_never_another_score(self, tmp_path: Path) -> None:
        store = written(tmp_path, [6] * 300)
        query = unit(4, 16, seed=5)
        everything = brute(store, query)
        for probes in (1, 4, 16):
            rows, scores = store.search(query, k=10, probes=probes, rescored=50)
            assert len(rows) == 10
            assert scores == pytest.approx(everything[rows], abs=0.02)

    @settings(max_examples=25, deadline=None)
    @given(
        st.lists(st.integers(0, 6), min_size=1, max_size=12), st.integers(0, 99), st.integers(1, 5), st.integers(1, 12)
    )
    def test_of_any_shape(
        self, tmp_path_factory: pytest.TempPathFactory, sizes: list[int], seed: int, k: int, rescored: int
    ) -> None:
        store = written(tmp_path_factory.mktemp("store"), sizes, seed=seed)
        query = unit(3, 16, seed=seed + 1)
        rows, scores = store.search(query, k=k, probes=2, rescored=rescored)
        filled = sum(size > 0 for size in sizes)
        assert len(rows) <= filled
        assert sorted(set(rows.tolist())) == rows.tolist()
        assert scores == pytest.approx(brute(store, query)[rows], abs=0.02)
        if rescored >= filled:
            assert len(rows) >= min(k, filled)


class TestSearching:
    def test_a_filter_holds_and_few_rows_are_scored_exactly(self, tmp_path: Path) -> None:
        store = written(tmp_path, [4] * 100)
        mask = np.zeros(100, dtype=np.bool_)
        mask[[7, 50, 93]] = True
        query = unit(4, 16, seed=2)
        rows, scores = store.search(query, k=10, probes=1, rescored=10, mask=mask)
        assert rows.tolist() == [7, 50, 93]
        assert scores == pytest.approx(brute(store, query)[rows], abs=0.02)
        rows, _ = store.search(query, k=2, probes=4, rescored=2, mask=~mask)
        assert not {7, 50, 93} & set(rows.tolist())

    def test_centroids_that_no_row_has_a_token_at_are_looked_at_and_bring_nothing(self, tmp_path: Path) -> None:
        vectors = unit(200, 16)
        codec = ResidualCodec.learn(vectors, n_vectors=200, bits=4)
        there = vectors[codec.encode(vectors).centroids < len(codec.centroids) - 3][:40]
        with TokenWriter(tmp_path, codec) as writer:
            writer.add(codec.encode(there), [1] * len(there))
        store = TokenStore.read(tmp_path, n=len(there), turned=False)
        rows, _ = store.search(vectors[:5], k=3, probes=len(codec.centroids), rescored=3)
        assert len(rows) == 3

    def test_rows_that_are_alike_all_come(self, tmp_path: Path) -> None:
        vectors = np.tile(unit(3, 16), (4, 1))
        codec = ResidualCodec.learn(vectors, n_vectors=12, bits=4)
        with TokenWriter(tmp_path, codec) as writer:
            writer.add(codec.encode(vectors), [3, 3, 3, 3])
        rows, scores = TokenStore.read(tmp_path, n=4, turned=False).search(
            unit(2, 16, seed=1), k=1, probes=4, rescored=4
        )
        assert rows.tolist() == [0, 1, 2, 3]
        assert len(set(scores.tolist())) == 1

    def test_nothing_is_found_by_nothing(self, tmp_path: Path) -> None:
        store = written(tmp_path / "some", [3, 3])
        rows, scores = store.search(np.zeros((0, 16), dtype=np.float32), k=3, probes=2, rescored=2)
        assert (len(rows), len(scores)) == (0, 0)
        empty = written(tmp_path / "none", [0, 0])
        assert empty.n_tokens == 0
        assert len(empty.search(unit(2, 16), k=3, probes=2, rescored=2)[0]) == 0

    def test_worked_by_hand(self) -> None:
        """Query tokens (1, 0), (0, 1); document tokens (1, 0), (.6, .8): 1 + .8."""
        query, document = np.eye(2, dtype=np.float32), np.array([[1, 0], [0.6, 0.8]], dtype=np.float32)
        assert max_sim(query, document) == pytest.approx(1.8)
        assert max_sim(query, document[:0]) == 0.0

    def test_rows_of_vectors_know_their_tokens(self) -> None:
        made = TokenVectors.of([unit(2, 4), unit(0, 4), unit(3, 4)], dim=4)
        assert [len(made.row(place)) for place in range(len(made))] == [2, 0, 3]
        assert len(TokenVectors.of([], dim=4)) == 0


class TestFiles:
    def test_a_file_that_was_cut_is_refused(self, tmp_path: Path) -> None:
        written(tmp_path, [3, 4])
        np.save(tmp_path / "codes.npy", np.zeros(5, dtype=np.int32))
        with pytest.raises(IndexProblem, match="do not fit together"):
            TokenStore.read(tmp_path, n=2, turned=False)

    def test_another_number_of_rows_is_refused(self, tmp_path: Path) -> None:
        written(tmp_path, [3, 4])
        with pytest.raises(IndexProblem, match="do not fit together"):
            TokenStore.read(tmp_path, n=3, turned=False)

    def test_what_was_begun_and_failed_is_not_whole(self, tmp_path: Path) -> None:
        codec = ResidualCodec.learn(unit(10, 16), n_vectors=10, bits=2)
        with contextlib.suppress(RuntimeError), TokenWriter(tmp_path, codec) as writer:
            writer.add(codec.encode(unit(10, 16)), [10])
            raise RuntimeError
        with pytest.raises(IndexProblem):
            TokenStore.read(tmp_path, n=1, turned=False)
