from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.core.errors import IndexProblem
from retrievers.legs.dense.leg import DenseLeg
from retrievers.legs.dense.settings import DenseSettings
from retrievers.stores import flat, vectors

KINDS = [(structure, storage) for structure in ("flat", "hnsw", "ivf_pq", "rabitq") for storage in ("float32", "int8")]
N, DIM = 1500, 24


def unit_vectors(n: int, *, seed: int) -> NDArray[np.float32]:
    found = np.random.default_rng(seed).standard_normal((n, DIM)).astype(np.float32)
    unit: NDArray[np.float32] = found / np.linalg.norm(found, axis=1, keepdims=True)
    return unit


VECTORS, QUERIES = unit_vectors(N, seed=0), unit_vectors(40, seed=1)


def exact(
    queries: NDArray[np.float32], *, k: int, mask: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """In float64, by sorting everything."""
    scores = queries.astype(np.float64) @ VECTORS.astype(np.float64).T
    if mask is not None:
        scores[:, ~mask] = -np.inf
    rows = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return rows, np.take_along_axis(scores, rows, axis=1).astype(np.float32)


def built(
    folder: Path, kind: tuple[str, str], vectors: NDArray[np.float32] = VECTORS
) -> tuple[DenseLeg, dict[str, Any]]:
    settings = DenseSettings.model_validate({"structure": kind[0], "storage": kind[1]})
    facts = DenseLeg.build(vectors, folder, settings=settings)
    return DenseLeg.open(folder, facts), facts


@pytest.fixture(scope="module", params=KINDS, ids="-".join)
def kind(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def leg(kind: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> DenseLeg:
    return built(tmp_path_factory.mktemp("leg"), kind)[0]


@pytest.mark.parametrize("block", [128, 100_000])
@pytest.mark.parametrize("share", [None, 0.9, 0.5, 0.25, 0.01])
def test_flat_search_equals_sorting_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, share: float | None
) -> None:
    monkeypatch.setattr(flat, "_BLOCK", block)
    leg, _ = built(tmp_path, ("flat", "float32"))
    mask = None if share is None else np.random.default_rng(2).random(N) < share
    for queries in (QUERIES, QUERIES[:2]):  # many and few are searched in other ways
        rows, scores = leg.search(queries, k=10, mask=mask)
        expected_rows, expected_scores = exact(queries, k=10, mask=mask)
        np.testing.assert_array_equal(rows, expected_rows)
        np.testing.assert_allclose(scores, expected_scores, atol=1e-6)
    assert rows.dtype == np.int32
    assert scores.dtype == np.float32


def test_equal_scores_are_in_order_of_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flat, "_BLOCK", 4)
    leg, _ = built(tmp_path, ("flat", "float32"), np.tile(VECTORS[:2], (6, 1)))
    rows, _ = leg.search(VECTORS[:1], k=8)
    assert rows[0].tolist() == [0, 2, 4, 6, 8, 10, 1, 3]


def test_every_kind_finds_nearly_all_true_neighbours(leg: DenseLeg) -> None:
    rows, scores = leg.search(QUERIES, k=10)
    expected, _ = exact(QUERIES, k=10)
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(rows, expected, strict=True)])
    assert recall > 0.9
    true = np.take_along_axis(QUERIES @ VECTORS.T, rows, axis=1)
    np.testing.assert_allclose(scores, true, atol=0.02)
    assert (np.diff(scores, axis=1) <= 0).all()


def test_recall_is_measured_when_built_unless_search_is_exact(tmp_path: Path, kind: tuple[str, str]) -> None:
    leg, facts = built(tmp_path, kind)
    assert (facts["rows"], facts["dim"], len(leg), leg.dim) == (N, DIM, N, DIM)
    if kind == ("flat", "float32"):
        assert "recall_at_10" not in facts
        return
    # The same by hand: ten nearest others of each sampled vector.
    sample = np.sort(np.random.default_rng(0).permutation(N)[:200])
    expected = [
        [r for r in line if r != own][:10] for own, line in zip(sample, exact(VECTORS[sample], k=11)[0], strict=True)
    ]
    found = [
        [r for r in line if r != own][:10]
        for own, line in zip(sample, leg.search(VECTORS[sample], k=11)[0], strict=True)
    ]
    by_hand = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(expected, found, strict=True)])
    assert facts["recall_at_10"] == pytest.approx(by_hand, abs=0.002)
    assert 0.9 < facts["recall_at_10"] <= 1


def test_recall_of_a_poor_index_is_reported_as_poor(tmp_path: Path) -> None:
    """One huge number stretches the range of int8 so far that all others fall together."""
    stretched = VECTORS.copy()
    stretched[0] = 3000.0
    _, facts = built(tmp_path, ("flat", "int8"), stretched)
    assert facts["recall_at_10"] < 0.3


@pytest.mark.parametrize("scanned", [0, 2_000])
@pytest.mark.parametrize("allowed", [0, 1, 5, 300, 1499])
def test_a_mask_is_never_crossed_and_k_is_filled_from_it(
    monkeypatch: pytest.MonkeyPatch, leg: DenseLeg, allowed: int, scanned: int
) -> None:
    """With 0 no filter is too narrow for the structure's own search."""
    monkeypatch.setattr(vectors, "_SCANNED", scanned)
    mask = np.zeros(N, dtype=bool)
    mask[np.random.default_rng(3).permutation(N)[:allowed]] = True
    rows, scores = leg.search(QUERIES, k=10, mask=mask)
    few = leg.search(QUERIES[:1], k=10, mask=mask)[0][0]
    assert set(few.tolist()) - {-1} <= set(np.flatnonzero(mask).tolist())
    n_hits = min(10, allowed)
    assert (few >= 0).sum() == n_hits
    assert ((rows >= 0).sum(axis=1) == n_hits).all()
    assert mask[rows[:, :n_hits]].all()
    assert (rows[:, n_hits:] == -1).all()
    assert np.isneginf(scores[:, n_hits:]).all()
    if allowed:
        expected = exact(QUERIES, k=n_hits, mask=mask)[0]
        shared = [len(set(a[:n_hits]) & set(b)) / n_hits for a, b in zip(rows, expected, strict=True)]
        assert np.mean(shared) > 0.9


def test_more_hits_than_rows_are_filled_up(kind: tuple[str, str], tmp_path: Path) -> None:
    leg, _ = built(tmp_path, kind, VECTORS[:3])
    rows, scores = leg.search(QUERIES[:2], k=5)
    assert sorted(rows[0, :3].tolist()) == [0, 1, 2]
    assert (rows[:, 3:] == -1).all()
    assert np.isneginf(scores[:, 3:]).all()


@pytest.mark.parametrize("n", [0, 1])
def test_an_index_of_hardly_anything_works(kind: tuple[str, str], tmp_path: Path, n: int) -> None:
    leg, facts = built(tmp_path, kind, VECTORS[:n])
    rows, _ = leg.search(QUERIES[:2], k=2, mask=np.ones(n, dtype=bool))
    assert rows.tolist() == [[0, -1] if n else [-1, -1]] * 2
    assert "recall_at_10" not in facts


def test_no_queries_give_no_hits(leg: DenseLeg) -> None:
    rows, scores = leg.search(np.zeros((0, DIM), dtype=np.float32), k=4)
    assert rows.shape == scores.shape == (0, 4)


def test_vectors_come_back(leg: DenseLeg, kind: tuple[str, str]) -> None:
    rows = np.array([7, 3, 7])
    tolerance = 0.0 if kind[1] == "float32" else 0.02
    np.testing.assert_allclose(leg.vectors(rows), VECTORS[rows], atol=tolerance)


def test_int8_takes_a_quarter_of_the_space(tmp_path: Path) -> None:
    built(tmp_path / "full", ("flat", "float32"))
    built(tmp_path / "small", ("flat", "int8"))
    full, small = (sum(f.stat().st_size for f in (tmp_path / name).iterdir()) for name in ("full", "small"))
    assert small < 0.3 * full


def test_wrong_shapes_are_named(leg: DenseLeg) -> None:
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        leg.search(QUERIES, k=0)
    with pytest.raises(ValueError, match=r"vectors must be \[n, 24\], got \[40, 23\]"):
        leg.search(QUERIES[:, 1:], k=1)
    with pytest.raises(ValueError, match=r"mask must be \[1500\], got \[3\]"):
        leg.search(QUERIES, k=1, mask=np.ones(3, dtype=bool))
    with pytest.raises(ValueError, match="vectors must be float32"):
        DenseLeg.build(VECTORS.astype(np.float64), Path("unused"), settings=DenseSettings())


@pytest.mark.parametrize("facts", [{"rows": N + 1}, {"dim": DIM + 1}])
def test_a_leg_that_is_not_what_the_manifest_says_is_refused(
    tmp_path: Path, kind: tuple[str, str], facts: dict[str, int]
) -> None:
    _, true = built(tmp_path, kind)
    with pytest.raises(IndexProblem, match="but the manifest says"):
        DenseLeg.open(tmp_path, {**true, **facts})


@pytest.mark.parametrize("damage", ["absent", "empty", "cut", "pickle"])
def test_a_file_that_cannot_be_read_is_an_index_problem(tmp_path: Path, kind: tuple[str, str], damage: str) -> None:
    _, facts = built(tmp_path, kind)
    file = min(tmp_path.iterdir())
    content = file.read_bytes()
    file.unlink()
    if damage == "empty":
        file.touch()
    elif damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "pickle":
        with file.open("wb") as stream:
            np.save(stream, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(IndexProblem, match="cannot be read"):
        DenseLeg.open(tmp_path, facts)
