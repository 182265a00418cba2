"""What tells a language is taken off, and everything that a leg says is of what is left."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.core.errors import IndexProblem
from rag.ingest.language import LanguageReader
from retrievers.legs.dense.by_language import Languages, sentences
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
SAID = {text: code for code, texts in sentences().items() for text in texts}


def encode(texts: list[str]) -> NDArray[np.float32]:
    """Vectors that say nothing but the language of a sentence, and which of the ten it is."""
    centre = {code: np.random.default_rng(number).standard_normal(DIM) for number, code in enumerate(sentences())}
    found = [centre[SAID[text]] + 0.1 * sentences()[SAID[text]].index(text) for text in texts]
    return np.array(found, dtype=np.float32)


KNOWN = Languages.of(LANGUAGES, encode)


def expected(query: NDArray[np.float32]) -> NDArray[np.float64]:
    """Scores of all rows by the formula, in float64."""
    scores = VECTORS.astype(np.float64) @ query.astype(np.float64)
    english = encode(sentences()["en"]).mean(axis=0)
    for code in ("de", "zh", "pl"):
        taken = 0.75 * (encode(sentences()[code]).mean(axis=0) - english) @ query
        scores[np.array(LANGUAGES) == code] -= taken
    return scores


@pytest.fixture(scope="module", params=["flat", "hnsw"])
def leg(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> DenseLeg:
    """By one look at all rows, and by a search in each language."""
    folder = tmp_path_factory.mktemp("leg")
    settings = DenseSettings.model_validate({"structure": request.param, "storage": "float32"})
    return DenseLeg.open(folder, DenseLeg.build(VECTORS, folder, settings=settings, languages=KNOWN))


@pytest.mark.parametrize("share", [None, 0.5])
def test_hits_scores_and_populations_are_of_the_formula(leg: DenseLeg, share: float | None) -> None:
    readable = None if share is None else np.random.default_rng(2).random(N) < share
    among = np.ones(N, np.bool_) if readable is None else readable
    mask = among & (np.arange(N) % 3 > 0)
    rows, scores = leg.search(QUERIES, k=40, mask=mask)
    for query, own_rows, own_scores in zip(QUERIES, rows, scores, strict=True):
        every = expected(query)
        assert own_rows.tolist() == [row for row in np.argsort(-every, kind="stable") if mask[row]][:40]
        assert own_scores == pytest.approx(every[own_rows], abs=1e-5)
        assert leg.scores(query, own_rows) == pytest.approx(every[own_rows], abs=1e-5)
        told = leg.population(query, among=readable)
        assert (told.n, told.mean) == (among.sum(), pytest.approx(every[among].mean(), abs=1e-5))
        assert told.deviation == pytest.approx(every[among].std(), abs=1e-5)


def test_a_language_no_longer_has_all_first_hits(tmp_path: Path) -> None:
    """A text and its two translations: each vector says what it is about, and its language more loudly."""
    random = np.random.default_rng(0)
    about, centres = random.standard_normal((40, DIM)), 3 * random.standard_normal((3, DIM))
    vectors = np.concatenate([about + centre for centre in centres]).astype(np.float32)
    languages = [code for code in ("en", "de", "zh") for _ in range(40)]
    tells = {
        code: (centre - centres[0]).astype(np.float32) for code, centre in zip(("en", "de", "zh"), centres, strict=True)
    }
    known = Languages.of(languages, encode)
    known = Languages(known.rows, {number: tells[code] / 0.75 for code, number in zip(tells, known.tells, strict=True)})
    plain = DenseLeg.open(tmp_path, DenseLeg.build(vectors, tmp_path, settings=FLAT))
    folder = tmp_path / "told"
    leg = DenseLeg.open(folder, DenseLeg.build(vectors, folder, settings=FLAT, languages=known))
    query = vectors[[47]]  # in German
    assert {row // 40 for row in plain.search(query, k=20)[0][0].tolist()} == {1}
    first = leg.search(query, k=3)[0][0].tolist()
    assert len({row % 40 for row in first}) == 1, "one text"
    assert {row // 40 for row in first} == {0, 1, 2}, "in each of its languages"
    assert np.array_equal(plain.vectors(np.arange(120)), leg.vectors(np.arange(120))), "vectors stay as they are"


def test_fewer_hits_than_asked_for_are_filled_up(leg: DenseLeg) -> None:
    mask = np.arange(N) < 2
    rows, scores = leg.search(QUERIES[:1], k=5, mask=mask)
    assert sorted(rows[0, :2].tolist()) == [0, 1]
    assert rows[0, 2:].tolist() == [-1] * 3
    assert np.isneginf(scores[0, 2:]).all()


@pytest.mark.parametrize("languages", [None, ["en"] * N, [""] * N, ["xx"] * N])
def test_of_english_and_of_languages_that_are_not_known_nothing_is_taken_off(
    tmp_path: Path, languages: list[str] | None
) -> None:
    known = None if languages is None else Languages.of(languages, encode)
    rows, scores = DenseLeg.open(tmp_path, DenseLeg.build(VECTORS, tmp_path, settings=FLAT, languages=known)).search(
        QUERIES, k=5
    )
    assert scores == pytest.approx(np.take_along_axis(QUERIES @ VECTORS.T, rows, axis=1), abs=1e-6)
    assert scores == pytest.approx(-np.sort(-QUERIES @ VECTORS.T, axis=1)[:, :5], abs=1e-6)


def test_parts_are_as_one_build_of_what_is_left(leg: DenseLeg, tmp_path: Path) -> None:
    gone = np.array([3, 40, 305], np.int32)
    folders = [tmp_path / name for name in ("first", "second")]
    for folder, own in zip(folders, (slice(0, 320), slice(320, N)), strict=True):
        DenseLeg.build(VECTORS[own], folder, settings=FLAT, languages=Languages.of(LANGUAGES[own], encode))
    left = np.delete(np.arange(N), gone)
    known = Languages.of([LANGUAGES[row] for row in left.tolist()], encode)
    whole = DenseLeg.build(VECTORS[left], tmp_path / "whole", settings=FLAT, languages=known)
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
    facts = DenseLeg.build(VECTORS, folders[1], settings=FLAT, languages=KNOWN)
    chain = DenseLeg.open_chain(folders, {**facts, "rows": 2 * N}, ChainRows([N, N], [None, None]))
    assert chain.search(QUERIES, k=1)[1][:, 0] == pytest.approx((QUERIES @ VECTORS.T).max(axis=1), abs=1e-6)


@pytest.mark.parametrize("name", ["languages.npy", "tells.npy", "tells_by.npy"])
def test_a_file_that_is_cut_off_is_told(name: str, tmp_path: Path) -> None:
    facts = DenseLeg.build(VECTORS, tmp_path, settings=FLAT, languages=KNOWN)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-3])
    with pytest.raises(IndexProblem, match=name):
        DenseLeg.open(tmp_path, facts)


def test_the_sentences_are_ten_in_each_language_and_each_is_told_as_its_own() -> None:
    reader = LanguageReader()
    assert len(sentences()) == 23
    for code, said in sentences().items():
        assert len(said) == len(set(said)) == 10
        assert reader.of(" ".join(said)) == code
