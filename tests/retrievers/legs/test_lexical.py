"""The lexical leg: hits, filters, weights, files."""

from __future__ import annotations

import json
import math
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag.core.errors import IndexMismatch, IndexProblem
from retrievers.analysis.settings import AnalyzerSettings
from retrievers.legs.lexical.leg import LexicalLeg
from retrievers.legs.lexical.settings import LexicalSettings
from retrievers.stores.chain_rows import ChainRows
from retrievers.stores.postings import Postings
from tests.cpu_time import least_cpu_s

VARIANTS = ("lucene", "robertson", "atire", "bm25l", "bm25+", "okapi", "l", "plus")
TEXTS = (
    "red apples and green apples",
    "green pears",
    "a red bicycle",
    "",
    "green green green",
    "blue bicycle, red bell",
    "yellow lamp",
)


def _build(folder: Path, texts: Sequence[str] = TEXTS, **bm25: Any) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    settings = LexicalSettings.model_validate(bm25)
    return LexicalLeg.build(texts, folder, analyzer=AnalyzerSettings(language="en"), bm25=settings)


def _leg(folder: Path, texts: Sequence[str] = TEXTS, **bm25: Any) -> LexicalLeg:
    facts = _build(folder, texts, **bm25)
    return LexicalLeg.open(folder, json.loads(json.dumps(facts)))


def _rows(leg: LexicalLeg, query: Mapping[str, float], *, k: int = 10, **more: Any) -> list[int]:
    rows, _ = leg.search([query], k=k, **more)
    return [int(row) for row in rows[0] if row >= 0]


def _scores(leg: LexicalLeg, query: Mapping[str, float], **more: Any) -> dict[int, float]:
    rows, scores = leg.search([query], k=10, **more)
    return {int(row): float(score) for row, score in zip(rows[0], scores[0], strict=True) if row >= 0}


@pytest.mark.parametrize("variant", VARIANTS)
def test_only_documents_with_a_query_term_are_hits(variant: str, tmp_path: Path) -> None:
    leg = _leg(tmp_path, variant=variant)
    assert sorted(_rows(leg, {"red": 1})) == [0, 2, 5]
    assert sorted(_rows(leg, {"red": 1, "lamp": 1, "absent": 1})) == [0, 2, 5, 6]
    assert _rows(leg, {"absent": 1}) == []
    assert _rows(leg, {}) == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_term_that_all_documents_have_still_makes_hits(variant: str, tmp_path: Path) -> None:
    leg = _leg(tmp_path, ["sun moon", "sun sun", "sun rain"], variant=variant)
    assert sorted(_rows(leg, {"sun": 1})) == [0, 1, 2]


def test_rows_and_scores_are_padded(tmp_path: Path) -> None:
    rows, scores = _leg(tmp_path).search([{"lamp": 1}, {"absent": 1}], k=3)
    assert rows.dtype == np.int32
    assert scores.dtype == np.float32
    assert rows.tolist() == [[6, -1, -1], [-1, -1, -1]]
    assert scores[0, 0] > 0
    assert scores[0, 1:].tolist() + scores[1].tolist() == [0.0] * 5


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_mask_fills_the_top_with_allowed_rows_and_leaks_none(variant: str, k: int, tmp_path: Path) -> None:
    leg = _leg(tmp_path, variant=variant)
    query = {"green": 1, "red": 1}
    free = _rows(leg, query)
    mask = np.ones(len(TEXTS), dtype=np.bool_)
    mask[free[:2]] = False
    assert _rows(leg, query, k=k, mask=mask) == free[2 : 2 + k]


def test_scores_under_a_mask_are_those_without(tmp_path: Path) -> None:
    leg = _leg(tmp_path)
    mask = np.arange(len(TEXTS)) % 2 == 0
    free = _scores(leg, {"green": 1, "red": 1})
    assert _scores(leg, {"green": 1, "red": 1}, mask=mask) == {r: s for r, s in free.items() if r % 2 == 0}


def test_a_mask_that_allows_nothing_gives_nothing(tmp_path: Path) -> None:
    assert _rows(_leg(tmp_path), {"red": 1}, mask=np.zeros(len(TEXTS), dtype=np.bool_)) == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_scores_are_linear_in_weights(variant: str, tmp_path: Path) -> None:
    leg = _leg(tmp_path, variant=variant)
    red, green = _scores(leg, {"red": 1}), _scores(leg, {"green": 1})
    mixed = _scores(leg, {"red": 0.25, "green": 2.5})
    assert mixed.keys() == red.keys() | green.keys()
    if variant in ("bm25l", "bm25+", "plus"):  # there a term adds something to documents without it
        both, twice = _scores(leg, {"red": 1, "green": 1}), _scores(leg, {"red": 2, "green": 1})
        red = {row: twice[row] - both[row] for row in both}
        green = {row: both[row] - red[row] for row in both}
    expected = {row: 0.25 * red.get(row, 0) + 2.5 * green.get(row, 0) for row in mixed}
    assert mixed == pytest.approx(expected, abs=1e-5)


def test_a_negative_weight_lowers_and_still_hits(tmp_path: Path) -> None:
    leg = _leg(tmp_path)
    red, green = _scores(leg, {"red": 1}), _scores(leg, {"green": 1})
    found = _scores(leg, {"red": 1, "green": -2})
    assert found == pytest.approx({r: red.get(r, 0) - 2 * green.get(r, 0) for r in red | green}, abs=1e-5)
    assert min(found.values()) < 0


def test_vanishing_weights_still_hit_and_zero_weights_do_not(tmp_path: Path) -> None:
    leg = _leg(tmp_path)
    assert sorted(_rows(leg, {"red": 1e-300})) == [0, 2, 5]
    assert _rows(leg, {"red": 0.0}) == []


@pytest.mark.parametrize("weight", [math.nan, math.inf, -math.inf, 1e10])
def test_a_weight_that_is_no_usable_number_is_refused(weight: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="weights of query terms"):
        _leg(tmp_path).search([{"red": weight}], k=1)


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_ties_go_to_the_lower_row_also_at_the_cut(engine: Any, tmp_path: Path) -> None:
    leg = _leg(tmp_path, ["big dog"] * 40 + ["dog dog"] + ["cat"] * 5)
    for k in (1, 2, 13, 41, 60):
        assert _rows(leg, {"dog": 1}, k=k, engine=engine) == [40, *range(40)][:k]


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_a_batch_may_mix_all_kinds_of_queries(engine: Any, tmp_path: Path) -> None:
    leg = _leg(tmp_path)
    queries: list[dict[str, float]] = [{}, {"red": 1}, {"absent": 1}, {"green": 0.5}, {"green": 3, "absent": 1}, {}]
    rows, scores = leg.search(queries, k=4, engine=engine, threads=2)
    for i, query in enumerate(queries):
        one_rows, one_scores = leg.search([query], k=4, engine="numpy")
        assert rows[i].tolist() == one_rows[0].tolist()
        assert scores[i].tolist() == one_scores[0].tolist()


def test_threads_may_search_one_leg(tmp_path: Path) -> None:
    leg = _leg(tmp_path, [f"word{n % 7} word{n % 5} word{n % 3}" for n in range(200)])
    leg.warm_up()
    queries = [Counter({f"word{n % 7}": 1, f"word{n % 5}": 1}) for n in range(50)]
    expected = leg.search(queries, k=20)[0].tolist()
    found: list[Any] = []

    def work() -> None:
        found.extend(leg.search(queries, k=20, threads=2)[0].tolist() for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 20


@pytest.mark.parametrize("variant", ["lucene", "bm25+", "okapi"])
@pytest.mark.parametrize("texts", [[], [""], ["", "?!"]])
def test_a_corpus_without_terms_has_no_hits(variant: str, texts: list[str], tmp_path: Path) -> None:
    leg = _leg(tmp_path, texts, variant=variant)
    assert _rows(leg, {"red": 1}) == []
    if variant != "okapi":
        leg.warm_up()
        assert _rows(leg, {"red": 1}) == []


def test_a_query_of_100_000_characters_takes_no_more_a_character_than_a_tenth_of_it(tmp_path: Path) -> None:
    leg = _leg(tmp_path)

    def search(n_words: int) -> Callable[[], object]:
        text = " ".join(f"red{n}" for n in range(n_words)) + " green" * (n_words // 2)
        assert _rows(leg, Counter(leg.analyzer.terms(text)))[0] == 4
        return lambda: _rows(leg, Counter(leg.analyzer.terms(text)))

    enough = 40 * max(least_cpu_s(search(1_000), enough=0), 0.001)
    assert least_cpu_s(search(10_000), enough=enough) <= enough, (
        "a hundred times as long where each is held against all"
    )


def test_facts_say_how_the_leg_was_made(tmp_path: Path) -> None:
    facts = _build(tmp_path, variant="bm25l", k1=1.1, b=0.3, delta=0.5)
    assert facts == json.loads(json.dumps(facts))
    wanted = {"variant": "bm25l", "k1": 1.1, "b": 0.3, "delta": 0.5, "n_docs": 7, "n_terms": 9, "n_tokens": 17}
    assert wanted.items() <= facts.items()
    assert facts["analyzer"]["stemmer"] == "porter"


@pytest.mark.parametrize("variant", ["lucene", "bm25+", "okapi"])
def test_only_npy_and_json_are_written_and_mapped(variant: str, tmp_path: Path) -> None:
    leg = _leg(tmp_path, variant=variant)
    assert {path.suffix for path in tmp_path.iterdir()} == {".npy", ".json"}
    for path in tmp_path.glob("*.npy"):
        np.load(path, allow_pickle=False)
    array = leg._engine._impacts if isinstance(leg._engine, Postings) else leg._engine._tokens.terms
    assert isinstance(array.base, np.memmap)


def test_the_same_texts_give_the_same_files(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    assert _build(one) == _build(two)
    assert {p.name: p.read_bytes() for p in one.iterdir()} == {p.name: p.read_bytes() for p in two.iterdir()}


def test_texts_are_read_once_from_any_iterable_and_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    LexicalLeg.build(
        (f"text {n}" for n in range(600)),
        tmp_path,
        analyzer=AnalyzerSettings(language="en"),
        bm25=LexicalSettings(),
        progress=lambda *state: told.append(state),
    )
    assert told[-1] == ("analysing", 600, 600)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


@pytest.mark.parametrize("variant", ["lucene", "bm25+", "okapi"])
@pytest.mark.parametrize("damage", ["missing", "cut", "empty", "other type"])
def test_damaged_files_are_refused(variant: str, damage: str, tmp_path: Path) -> None:
    _build(tmp_path / "intact", variant=variant)
    for name in sorted(path.name for path in (tmp_path / "intact").iterdir()):
        folder = tmp_path / name
        facts = _build(folder, variant=variant)
        path = folder / name
        if damage == "missing":
            path.unlink()
        elif damage == "cut":
            path.write_bytes(path.read_bytes()[:-3])
        elif damage == "empty":
            path.write_bytes(b"")
        elif path.suffix == ".npy":
            np.save(path, np.load(path).astype(np.float64))
        else:
            path.write_text('{"red": 1}')
        rows = ChainRows([facts["n_docs"]], [None])
        chained = name.startswith(("counts", "lengths"))
        with pytest.raises(IndexProblem, match="Build the index again"):
            LexicalLeg.open_chain([folder], [facts], rows) if chained else LexicalLeg.open(folder, facts)


def test_a_row_that_the_index_has_not_is_found_by_compiled_code(tmp_path: Path) -> None:
    facts = _build(tmp_path)
    rows = np.load(tmp_path / "rows.npy")
    rows[0] = 1_000_000
    np.save(tmp_path / "rows.npy", rows)
    leg = LexicalLeg.open(tmp_path, facts)
    with pytest.raises(IndexProblem, match="a row or a column that is not in the index"):
        leg.search([dict.fromkeys(leg.vocabulary, 1.0)], k=3, engine="numba")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"version": 99}, IndexProblem),
        ({"variant": "bm26"}, IndexProblem),
        ({"k1": None}, IndexProblem),
        ({"n_terms": 3}, IndexProblem),
        ({"n_docs": 3, "variant": "okapi"}, IndexProblem),
        ({"analyzer": {"version": 0}}, IndexMismatch),
    ],
)
def test_facts_that_do_not_fit_are_refused(change: dict[str, Any], error: type[Exception], tmp_path: Path) -> None:
    facts = _build(tmp_path)
    with pytest.raises(error):
        LexicalLeg.open(tmp_path, {**facts, **change})
    with pytest.raises(IndexProblem):
        LexicalLeg.open(tmp_path, {})


def test_wrong_arguments_say_what_is_allowed(tmp_path: Path) -> None:
    leg = _leg(tmp_path)
    with pytest.raises(ValueError, match="at least 1"):
        leg.search([{"red": 1}], k=0)
    with pytest.raises(ValueError, match="at least 1"):
        leg.search([{"red": 1}], k=1, threads=0)
    with pytest.raises(ValueError, match=r"mask must be bool \[7\], got bool \[3\]"):
        leg.search([{"red": 1}], k=1, mask=np.ones(3, dtype=np.bool_))
    assert leg.search([], k=5)[0].shape == (0, 5)


def test_a_term_is_in_the_leg_when_a_document_has_it(tmp_path: Path) -> None:
    leg = _leg(tmp_path)
    assert "bicycl" in leg
    assert "bicycle" not in leg
