"""What texts of a language have in common is taken off, and everything that a leg says is of what is left."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.core.errors import IndexProblem
from retrievers.legs.dense.by_language import FILE, LanguageRows
from retrievers.legs.dense.leg import DenseLeg
from retrievers.legs.dense.settings import DenseSettings
from retrievers.stores.chain_rows import ChainRows

DIM = 16
LANGUAGES = ["en"] * 300 + ["de"] * 60 + ["zh"] * 25 + ["pl"] * 4 + [""] * 11
N = len(LANGUAGES)
FLAT = DenseSettings.model_validate({"structure": "flat", "storage": "float32"})


def made(seed: int = 0) -> NDArray[np.float32]:
    """Vectors that lie near one another by language, as those of encoders for many languages do."""
    centre = np.random.default_rng(9)
    centres = {code: centre.standard_normal(DIM) for code in dict.fromkeys(LANGUAGES)}
    found = np.random.default_rng(seed).standard_normal((N, DIM)) + 2 * np.array([centres[code] for code in LANGUAGES])
    unit: NDArray[np.float32] = (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)
    return unit


VECTORS = made()
QUERIES = made(1)[[0, 310, 370]]


def expected(query: NDArray[np.float32], among: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Scores of all rows by the formula, in float64; four Polish texts are too few, and some texts are of no language."""
    vectors, codes = VECTORS.astype(np.float64), np.array(LANGUAGES)
    known = among & np.isin(codes, ["en", "de", "zh"])
    scores = vectors @ query.astype(np.float64)
    for code in ("en", "de", "zh"):
        own = (codes == code) & among
        if n := int(own.sum()):
            common = vectors[own].mean(axis=0) - vectors[known].mean(axis=0)
            scores[codes == code] -= n / (n + 20) * (common @ query)
    return scores


@pytest.fixture(scope="module", params=["flat", "hnsw"])
def leg(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> DenseLeg:
    """By one look at all rows, and by a search in each language."""
    folder = tmp_path_factory.mktemp("leg")
    settings = DenseSettings.model_validate({"structure": request.param, "storage": "float32"})
    return DenseLeg.open(folder, DenseLeg.build(VECTORS, folder, settings=settings, languages=LANGUAGES))


@pytest.mark.parametrize("share", [None, 0.5])
def test_hits_scores_and_populations_are_of_the_formula(leg: DenseLeg, share: float | None) -> None:
    readable = None if share is None else np.random.default_rng(2).random(N) < share
    among = np.ones(N, np.bool_) if readable is None else readable
    mask = among & (np.arange(N) % 3 > 0)
    rows, scores = leg.search(QUERIES, k=40, mask=mask, among=readable)
    for query, own_rows, own_scores in zip(QUERIES, rows, scores, strict=True):
        every = expected(query, among)
        assert own_rows.tolist() == [row for row in np.argsort(-every, kind="stable") if mask[row]][:40]
        assert own_scores == pytest.approx(every[own_rows], abs=1e-5)
        assert leg.scores(query, own_rows, among=readable) == pytest.approx(every[own_rows], abs=1e-5)
        told = leg.population(query, among=readable)
        assert (told.n, told.mean) == (among.sum(), pytest.approx(every[among].mean(), abs=1e-5))
        assert told.deviation == pytest.approx(every[among].std(), abs=1e-5)


def test_a_language_no_longer_has_all_first_hits(leg: DenseLeg, tmp_path: Path) -> None:
    plain = DenseLeg.open(tmp_path, DenseLeg.build(VECTORS, tmp_path, settings=FLAT))
    before, after = (
        [LANGUAGES[row] for row in each.search(QUERIES[1:2], k=20)[0][0]].count("de") for each in (plain, leg)
    )
    assert (before, after) == (20, 12)
    assert np.array_equal(plain.vectors(np.arange(N)), leg.vectors(np.arange(N))), "vectors stay as they are"


def test_fewer_hits_than_asked_for_are_filled_up(leg: DenseLeg) -> None:
    mask = np.arange(N) < 2
    rows, scores = leg.search(QUERIES[:1], k=5, mask=mask)
    assert sorted(rows[0, :2].tolist()) == [0, 1]
    assert rows[0, 2:].tolist() == [-1] * 3
    assert np.isneginf(scores[0, 2:]).all()


@pytest.mark.parametrize("languages", [None, ["en"] * N, [""] * N, ["en"] * (N - 9) + ["de"] * 9])
def test_one_language_is_searched_by_inner_product(tmp_path: Path, languages: list[str] | None) -> None:
    facts = DenseLeg.build(VECTORS, tmp_path, settings=FLAT, languages=languages)
    rows, scores = DenseLeg.open(tmp_path, facts).search(QUERIES, k=5)
    assert scores == pytest.approx(np.take_along_axis(QUERIES @ VECTORS.T, rows, axis=1), abs=1e-6)
    assert scores == pytest.approx(-np.sort(-QUERIES @ VECTORS.T, axis=1)[:, :5], abs=1e-6)


def test_parts_are_as_one_build_of_what_is_left(leg: DenseLeg, tmp_path: Path) -> None:
    gone = np.array([3, 40, 305], np.int32)
    folders = [tmp_path / name for name in ("first", "second")]
    for folder, own in zip(folders, (slice(0, 320), slice(320, N)), strict=True):
        DenseLeg.build(VECTORS[own], folder, settings=FLAT, languages=LANGUAGES[own])
    left = np.delete(np.arange(N), gone)
    whole = DenseLeg.build(
        VECTORS[left], tmp_path / "whole", settings=FLAT, languages=[LANGUAGES[row] for row in left.tolist()]
    )
    rows = ChainRows([320, N - 320], [gone, None])
    merged = tmp_path / "merged"
    merged.mkdir()
    DenseLeg.merge(folders, whole, rows, merged)
    one = DenseLeg.open(tmp_path / "whole", whole)
    for other in (DenseLeg.open_chain(folders, whole, rows), DenseLeg.open(merged, whole)):
        for mine, theirs in zip(one.search(QUERIES, k=9), other.search(QUERIES, k=9), strict=True):
            np.testing.assert_array_equal(mine, theirs)
        assert one.population(QUERIES[0]) == other.population(QUERIES[0])


def test_a_part_that_says_no_languages_leaves_the_whole_as_it_was(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("old", "new")]
    DenseLeg.build(VECTORS, folders[0], settings=FLAT)
    facts = DenseLeg.build(VECTORS, folders[1], settings=FLAT, languages=LANGUAGES)
    chain = DenseLeg.open_chain(folders, {**facts, "rows": 2 * N}, ChainRows([N, N], [None, None]))
    assert chain.search(QUERIES, k=1)[1][:, 0] == pytest.approx((QUERIES @ VECTORS.T).max(axis=1), abs=1e-6)


def test_a_file_that_is_cut_off_is_told(tmp_path: Path) -> None:
    facts = DenseLeg.build(VECTORS, tmp_path, settings=FLAT, languages=LANGUAGES)
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:-3])
    with pytest.raises(IndexProblem, match=r"languages\.npy"):
        DenseLeg.open(tmp_path, facts)


def test_no_more_than_twenty_languages_are_told_apart() -> None:
    languages = np.repeat(np.arange(1, 31, dtype=np.uint32), np.arange(10, 40))
    known = LanguageRows.of(languages)
    assert known is not None
    assert known.n == 21
    assert set(languages[known.groups > 0].tolist()) == set(range(11, 31)), "those with the most texts"
