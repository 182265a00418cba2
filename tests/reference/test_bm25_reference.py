"""Every BM25 variant against its formula in double precision, and against rank-bm25 where the two agree on paper."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import rank_bm25

from benchmarks.bm25_quality import published, quality_of
from retrievers.analysis.settings import AnalyzerSettings
from retrievers.legs.lexical.leg import LexicalLeg
from retrievers.legs.lexical.settings import LexicalSettings

BM25S = ("lucene", "robertson", "atire", "bm25l", "bm25+")
RANK_BM25 = ("okapi", "l", "plus")
K1, B, DELTA = 1.2, 0.7, 0.6


def _corpus() -> list[list[str]]:
    """80 documents over 60 words of Zipf's frequencies: the first is in most of them, the last in few; one is empty."""
    draw = np.random.default_rng(7)
    share = 1 / np.arange(1, 61)
    lengths = [*draw.integers(1, 40, size=79), 0]
    return [[f"w{n}" for n in draw.choice(60, size=size, p=share / share.sum())] for size in lengths]


CORPUS = _corpus()
FREQUENCY = Counter(word for document in CORPUS for word in set(document))
QUERIES = (("w0", "w5", "w41"), ("w3",), ("w0",), ("w9", "w9", "w30", "absent"), tuple(f"w{n}" for n in range(25)))


def formula(variant: str, query: tuple[str, ...]) -> dict[int, float]:
    """row -> score of the documents that have a term of the query."""
    n = len(CORPUS)
    mean = sum(map(len, CORPUS)) / n
    idf_okapi = {t: math.log((n - df + 0.5) / (df + 0.5)) for t, df in FREQUENCY.items()}
    floor = 0.25 * sum(idf_okapi.values()) / len(idf_okapi)
    scores = {}
    for row, document in enumerate(CORPUS):
        score = 0.0
        for term in (t for t in query if t in FREQUENCY):
            tf, df = document.count(term), FREQUENCY[term]
            norm = 1 - B + B * len(document) / mean
            saturated = tf / (tf + K1 * norm)
            long = (K1 + 1) * (tf / norm + DELTA) / (K1 + tf / norm + DELTA)
            score += {
                "lucene": math.log(1 + (n - df + 0.5) / (df + 0.5)) * saturated,
                "robertson": max(0.0, idf_okapi[term]) * saturated,
                "atire": math.log(n / df) * (K1 + 1) * saturated,
                "bm25l": math.log((n + 1) / (df + 0.5)) * long,
                "bm25+": math.log((n + 1) / df) * ((K1 + 1) * saturated + DELTA),
                "okapi": (idf_okapi[term] if idf_okapi[term] >= 0 else floor) * (K1 + 1) * saturated,
                "l": math.log((n + 1) / (df + 0.5)) * tf * long,
                "plus": math.log((n + 1) / df) * ((K1 + 1) * saturated + DELTA),
            }[variant]
        if set(query) & set(document):
            scores[row] = score
    return scores


def _leg(folder: Path, variant: str, *, delta: float = DELTA) -> LexicalLeg:
    settings = LexicalSettings.model_validate({"variant": variant, "k1": K1, "b": B, "delta": delta})
    analyzer = AnalyzerSettings(language="en", stemmer="none", stop_words="none")
    facts = LexicalLeg.build(map(" ".join, CORPUS), folder, analyzer=analyzer, bm25=settings)
    return LexicalLeg.open(folder, facts)


def _scores(leg: LexicalLeg, query: tuple[str, ...]) -> dict[int, float]:
    rows, scores = leg.search([Counter(query)], k=len(CORPUS))
    return {int(row): float(score) for row, score in zip(rows[0], scores[0], strict=True) if row >= 0}


@pytest.mark.parametrize("variant", BM25S + RANK_BM25)
def test_every_variant_gives_the_scores_of_its_formula(variant: str, tmp_path: Path) -> None:
    leg = _leg(tmp_path, variant)
    for query in QUERIES:
        assert _scores(leg, query) == pytest.approx(formula(variant, query), abs=1e-4, rel=0)


def test_the_corpus_has_terms_on_both_sides_of_half() -> None:
    assert FREQUENCY["w0"] > len(CORPUS) / 2 > FREQUENCY["w8"] > FREQUENCY["w41"] > 0


def test_bm25_plus_equals_rank_bm25s(tmp_path: Path) -> None:
    leg = _leg(tmp_path, "bm25+")
    theirs = rank_bm25.BM25Plus(CORPUS, k1=K1, b=B, delta=DELTA)
    for query in QUERIES:
        ours, reference = _scores(leg, query), theirs.get_scores(list(query))
        assert ours
        assert ours == pytest.approx({row: reference[row] for row in ours}, abs=1e-4, rel=0)


def test_robertson_times_k1_plus_1_equals_rank_bm25s_okapi_below_half_the_documents(tmp_path: Path) -> None:
    leg = _leg(tmp_path, "robertson")
    theirs = rank_bm25.BM25Okapi(CORPUS, k1=K1, b=B)
    rare = [term for term, df in FREQUENCY.items() if df < len(CORPUS) / 2]
    assert len(rare) > 50
    for query in [(term,) for term in rare] + [tuple(rare[:20])]:
        ours, reference = _scores(leg, query), theirs.get_scores(list(query))
        times = {row: score * (K1 + 1) for row, score in ours.items()}
        assert times == pytest.approx({row: reference[row] for row in ours}, abs=1e-4, rel=0)


@pytest.mark.parametrize("variant", BM25S)
def test_compiled_code_and_numpy_give_the_same_bits(variant: str, tmp_path: Path) -> None:
    leg = _leg(tmp_path, variant)
    queries = [Counter(query) for query in QUERIES] * 3
    for k in (1, 7, len(CORPUS), 3 * len(CORPUS)):
        rows, scores = leg.search(queries, k=k, engine="numba", threads=2)
        rows_there, scores_there = leg.search(queries, k=k, engine="numpy")
        np.testing.assert_array_equal(rows, rows_there)
        np.testing.assert_array_equal(scores, scores_there)


@pytest.mark.data
@pytest.mark.slow
def test_published_figures_are_met_on_every_retrieval_set(eval_data: Path) -> None:
    rows = published(eval_data)
    assert len(rows) == 19
    found = {row.name: quality_of(row.name, eval_data)[0]["nDCG@10"] for row in rows}
    assert found["scifact"] == pytest.approx(0.677, abs=0.002)
    assert found == pytest.approx({row.name: row.values[0] for row in rows}, abs=0.005)
