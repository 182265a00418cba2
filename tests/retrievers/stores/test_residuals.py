"""Vectors in few bits: how near they come to what they stand for, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.core.errors import IndexProblem
from retrievers.stores.residuals import ResidualCodec, _numbers, _packed, _unpacked


def unit(n: int, dim: int, *, seed: int = 0) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("dim", [16, 15])
def test_bits_come_back_as_they_went_in(bits: int, dim: int) -> None:
    numbers = np.random.default_rng(0).integers(0, 1 << bits, (7, dim)).astype(np.uint8)
    packed = _packed(numbers, bits)
    assert packed.shape == (7, -(-dim * bits // 8))
    assert (_unpacked(packed, bits)[:, :dim] == numbers).all()


def test_more_bits_come_nearer_and_eight_are_all_but_exact() -> None:
    vectors = unit(2000, 24)
    wrong = []
    for bits in (1, 2, 4, 8):
        codec = ResidualCodec.learn(vectors, n_vectors=2000, bits=bits)  # type: ignore[arg-type]
        found = codec.decode(codec.encode(vectors))
        assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=2e-3)
        wrong.append(1 - float((found * vectors).sum(axis=1).mean()))
    assert wrong == sorted(wrong, reverse=True)
    assert wrong[-1] < 3e-4


def test_levels_are_the_quantiles_of_what_is_left_worked_by_hand() -> None:
    """One centroid, (1, 0), and what is left of five vectors: their quantiles at 1/8, 3/8, 5/8, 7/8."""
    angles = np.array([-0.4, -0.2, 0.0, 0.2, 0.4])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    codec = ResidualCodec.learn(vectors[[2] * 3], n_vectors=1, bits=2)
    assert codec.centroids == pytest.approx(np.array([[1, 0]]))
    left = (vectors - [[1, 0]]).ravel()
    whole = ResidualCodec.learn(vectors, n_vectors=1, bits=2)
    assert whole.centroids == pytest.approx(np.array([[1, 0]]), abs=1e-6)
    assert whole.levels == pytest.approx(np.quantile(left, [1 / 8, 3 / 8, 5 / 8, 7 / 8]), abs=1e-6)
    assert whole.cuts == pytest.approx(np.quantile(left, [1 / 4, 2 / 4, 3 / 4]), abs=1e-6)


def test_axes_that_hold_nothing_are_cut_off_without_a_loss() -> None:
    flat = np.pad(unit(500, 6), ((0, 0), (0, 10)))
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(16, 16)))[0].astype(np.float32)
    vectors = flat @ turn
    codec = ResidualCodec.learn(vectors, n_vectors=500, bits=8, dim=6)
    assert codec.dim == 6
    kept = codec.turn(vectors)
    assert kept @ kept.T == pytest.approx(vectors @ vectors.T, abs=1e-5)


def test_the_same_sample_gives_the_same_codec(tmp_path: Path) -> None:
    one, other = (ResidualCodec.learn(unit(300, 16), n_vectors=300, bits=4, dim=8) for _ in range(2))
    for name in ("centroids", "levels", "cuts", "axes"):
        assert (vars(one)[name] == vars(other)[name]).all()
    one.write(tmp_path)
    back = ResidualCodec.read(tmp_path, turned=True)
    vectors = unit(20, 16, seed=2)
    assert (back.decode(back.encode(vectors)) == other.decode(other.encode(vectors))).all()


def test_whole_numbers_stand_for_the_levels() -> None:
    vectors = unit(400, 12)
    codec = ResidualCodec.learn(vectors, n_vectors=400, bits=2)
    coded = codec.encode(vectors)
    scale = codec.int8[1]
    exact = codec.decode(coded) * coded.lengths[:, None] - codec.centroids[coded.centroids]
    assert codec.left_as_int8(coded.left) * scale == pytest.approx(exact, abs=float(scale))


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("levels", np.zeros(5, dtype=np.float32)),
        ("cuts", np.zeros(7, dtype=np.float32)),
        ("centroids", np.zeros(4, dtype=np.float32)),
        ("axes", np.zeros((16, 3), dtype=np.float32)),
        ("levels", np.zeros(4, dtype=np.float64)),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path: Path, name: str, array: NDArray[Any]) -> None:
    ResidualCodec.learn(unit(100, 16), n_vectors=100, bits=2, dim=8).write(tmp_path)
    np.save(tmp_path / f"{name}.npy", array)
    with pytest.raises(IndexProblem, match="do not fit together"):
        ResidualCodec.read(tmp_path, turned=True)


@pytest.mark.parametrize("n_cuts", [1, 3, 15, 255])
def test_numbers_are_cut_as_a_search_cuts_them(n_cuts: int) -> None:
    source = np.random.default_rng(0)
    cuts = np.sort(source.normal(size=n_cuts)).astype(np.float32)
    left = np.concatenate([source.normal(size=500).astype(np.float32), cuts]).reshape(1, -1)
    assert (_numbers(left, cuts) == np.searchsorted(cuts, left)).all()
