"""The map that is learnt over vectors that do not change, and what an instruction is measured by."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.backbones import leaning
from benchmarks.backbones_map import Map, Pairs, Vectors, learnt, unchanged

N, ASKED, DIM = 200, 40, 16


def turned(seed: int) -> tuple[Pairs, Pairs]:
    """Passages are questions of which half of the numbers are noise; those that teach, and others."""
    drawn = np.random.default_rng(seed)
    queries = drawn.normal(size=(2 * N, DIM)).astype(np.float32)
    documents = queries.copy()
    documents[:, DIM // 2 :] = 3 * drawn.normal(size=(2 * N, DIM // 2))
    made = [Pairs(queries=queries[at::2], documents=documents[at::2]) for at in (0, 1)]
    return made[0], made[1]


def found_first(by: Map, pairs: Pairs) -> float:
    """Over the first passages alone: a share of the questions."""
    scores = by(pairs.queries[:ASKED]) @ by(pairs.documents[:ASKED]).T
    return float((scores.argmax(axis=1) == np.arange(len(scores))).mean())


def test_a_map_learns_which_numbers_say_something() -> None:
    taught, asked = turned(1)
    assert found_first(learnt(taught), asked) > found_first(unchanged, asked) + 0.15


def test_equal_pairs_give_an_equal_map_of_unit_vectors() -> None:
    taught, asked = turned(2)
    one, two = learnt(taught)(asked.queries), learnt(taught)(asked.queries)
    np.testing.assert_array_equal(one, two)
    np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1, atol=1e-5)


def test_equal_passages_are_no_negatives() -> None:
    """Two questions of one passage: as negatives they could not be told apart, and the loss could not fall below log 2."""
    import torch

    from benchmarks.backbones_map import _loss, _some

    same: Vectors = np.ones((8, DIM), dtype=np.float32)
    loss = _loss([_some(Pairs(queries=same, documents=same), False)], torch.eye(DIM), torch.zeros(DIM))
    assert float(loss) == pytest.approx(0.0, abs=1e-6)


def test_leaning_by_hand() -> None:
    queries = np.array([[1, 0], [0.6, 0.8]], dtype=np.float32)
    english, german = np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32)[::-1]
    assert leaning(queries, english, german).tolist() == pytest.approx([-1.0, -0.2])
