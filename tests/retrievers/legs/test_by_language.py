"""A lexical leg over several languages: against a leg of each language alone."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag.core.errors import IndexProblem
from retrievers.analysis.multilingual import UNKNOWN, analyzer_of
from retrievers.analysis.settings import EACH, AnalyzerSettings
from retrievers.legs.lexical.by_language import COUNTS, MOST_LANGUAGES, LexicalByLanguage
from retrievers.legs.lexical.leg import LexicalLeg
from retrievers.legs.lexical.settings import LexicalSettings

VARIANTS = ("lucene", "robertson", "atire", "bm25l", "bm25+", "okapi", "l", "plus")
DOCUMENTS = (
    ("en", "The houses of the children are red."),
    ("de", "Die Häuser der Kinder sind rot, und die Dächer auch."),
    ("zh", "孩子们的房子在北京是红色的。"),
    ("de", "Das Haus am See"),
    ("pl", "Domy dzieci są czerwone, jak die Kinder."),
    ("", "SELECT haus FROM see"),
    ("en", "They die by the lake"),
    ("de", "Die Kinder und die Katzen"),
)
TEXTS, LANGUAGES = [text for _, text in DOCUMENTS], [code for code, _ in DOCUMENTS]
ASKED = AnalyzerSettings(language=EACH)
QUESTIONS = ("die Kinder", "red houses", "北京的房子", "Haus", "czerwone domy", "die", "see")


def built(folder: Path, documents: tuple[tuple[str, str], ...] = DOCUMENTS, **bm25: Any) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    codes, texts = [code for code, _ in documents], [text for _, text in documents]
    settings = LexicalSettings.model_validate(bm25)
    facts = LexicalByLanguage.build(texts, codes, folder, analyzer=ASKED, bm25=settings)
    read: dict[str, Any] = json.loads(json.dumps(facts))
    return read


def leg_of(folder: Path, **bm25: Any) -> LexicalByLanguage:
    return LexicalByLanguage.open(folder, built(folder, **bm25))


def alone(folder: Path, code: str, **bm25: Any) -> tuple[LexicalLeg, list[int]]:
    """A leg over the documents of one language, and their rows."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [row for row, other in enumerate(LANGUAGES) if (other or UNKNOWN) == code]
    settings = analyzer_of(ASKED, code).settings
    facts = LexicalLeg.build(
        [TEXTS[row] for row in rows], folder, analyzer=settings, bm25=LexicalSettings.model_validate(bm25)
    )
    return LexicalLeg.open(folder, facts), rows


def scores_of(leg: Any, query: Any, **more: Any) -> dict[int, float]:
    rows, scores = leg.search([query], k=10, **more)
    return {int(row): float(score) for row, score in zip(rows[0], scores[0], strict=True) if row >= 0}


def test_a_question_finds_documents_of_its_language_first(tmp_path: Path) -> None:
    leg = leg_of(tmp_path)
    first = [next(iter(scores_of(leg, Counter(leg.analyzer.terms(text))))) for text in QUESTIONS[:5]]
    assert first == [7, 0, 2, 3, 4]
    assert scores_of(leg, Counter(leg.analyzer.terms("zebra"))) == {}


@pytest.mark.parametrize("variant", VARIANTS)
def test_within_a_language_scores_are_those_of_its_own_leg_divided_by_what_is_asked(
    variant: str, tmp_path: Path
) -> None:
    leg = leg_of(tmp_path / "mixed", variant=variant)
    for code in ("de", "en", "pl", "zh", UNKNOWN):
        own, places = alone(tmp_path / code, code, variant=variant)
        for text in QUESTIONS:
            query = Counter(own.analyzer.terms(text))
            n, weights = own.n_docs, 0.0
            for term, count in query.items():
                df = sum(term in own.analyzer.terms(TEXTS[row]) for row in places)
                weights += count * math.log(1 + (n - df + 0.5) / (df + 0.5))
            wanted = {places[row]: score / weights for row, score in scores_of(own, query).items()}
            found = scores_of(leg, Counter(leg.analyzer.terms(text)))
            mine = {row: score for row, score in found.items() if row in places}
            assert mine == pytest.approx(wanted, rel=1e-6)
            assert [*mine] == [*wanted]


def test_scores_worked_by_hand(tmp_path: Path) -> None:
    """`Haus` in German: 3 documents, one of which has it once among 4 words, where 10, 4 and 5 are the lengths."""
    documents = (("de", "Das Haus am See"), ("de", "a b c d e f g h i j"), ("de", "v w x y z"), ("en", "Haus house"))
    leg = LexicalByLanguage.open(tmp_path, built(tmp_path, documents))
    rarity = math.log(1 + (3 - 1 + 0.5) / (1 + 0.5))
    saturated = 1 / (1 + 0.9 * (1 - 0.4 + 0.4 * 4 / (19 / 3)))
    found = scores_of(leg, {"de:haus": 1.0})
    assert found == pytest.approx({0: rarity * saturated / rarity}, rel=1e-6)
    both = scores_of(leg, {"de:haus": 1.0, "de:absent": 1.0})
    absent = math.log(1 + 3.5 / 0.5)
    assert both == pytest.approx({0: rarity * saturated / (rarity + absent)}, rel=1e-6)


def test_scores_of_lucene_are_between_nought_and_one(tmp_path: Path) -> None:
    leg = leg_of(tmp_path)
    for text in QUESTIONS:
        found = scores_of(leg, Counter(leg.analyzer.terms(text)))
        assert found
        assert all(0 < score < 1 for score in found.values())


def test_a_term_of_one_language_finds_nothing_in_another(tmp_path: Path) -> None:
    leg = leg_of(tmp_path)
    assert {*scores_of(leg, {"de:die": 1.0})} == {1, 7}
    assert {*scores_of(leg, {"en:die": 1.0})} == {6}
    assert scores_of(leg, {"die": 1.0, "fi:die": 1.0}) == {}
    assert [leg.document_frequency(term) for term in ("de:die", "en:die", "pl:die", "die", "fi:die")] == [2, 1, 1, 0, 0]
    assert [leg.n_docs_of(term) for term in ("de:any", "en:any", "und:any", "any", "fi:any")] == [3, 2, 1, 0, 0]
    assert "de:haus" in leg
    assert "en:haus" not in leg
    assert 3 not in leg


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_terms_add_sums_to_the_score(variant: str, tmp_path: Path) -> None:
    leg = leg_of(tmp_path, variant=variant)
    for text in QUESTIONS:
        query = {**Counter(leg.analyzer.terms(text)), "de:katz": 2.5, "zh:absent": 0.5}
        for row, score in scores_of(leg, query).items():
            parts = leg.impacts(query, row)
            assert sum(query[part.term] * part.impact for part in parts) == pytest.approx(score, rel=1e-5)


def test_of_rows_in_another_language_than_the_question_words_say_nothing(tmp_path: Path) -> None:
    leg = leg_of(tmp_path)
    asked = Counter(leg.analyzer.terms("die Kinder spielen in roten Häusern"))
    scores, every = leg.scores(asked, np.arange(leg.n_docs)), scores_of(leg, asked)
    for row, (code, score) in enumerate(zip(LANGUAGES, scores.tolist(), strict=True)):
        silent = code in ("en", "zh", "pl") and row not in every
        assert math.isnan(score) if silent else score == pytest.approx(every.get(row, 0.0), abs=1e-6)
    assert np.isnan(scores[[0, 2]]).all()
    nothing = leg.scores(Counter(leg.analyzer.terms("zzz")), np.arange(leg.n_docs))
    assert nothing.tolist() == [0.0] * leg.n_docs, "a question in no language of the index"


def test_a_mask_leaves_its_rows_alone(tmp_path: Path) -> None:
    leg = leg_of(tmp_path)
    mask = np.array([code in ("de", "en") for code in LANGUAGES])
    query = Counter(leg.analyzer.terms("die Kinder"))
    whole = scores_of(leg, query)
    assert scores_of(leg, query, mask=mask) == {row: score for row, score in whole.items() if mask[row]}
    with pytest.raises(ValueError, match="mask must be bool"):
        leg.search([query], k=3, mask=mask[:2])


def test_equal_scores_are_in_the_order_of_rows_and_results_are_padded(tmp_path: Path) -> None:
    documents = (("de", "rot"), ("en", "rot"), ("pl", "rot"), ("en", "blue"))
    leg = LexicalByLanguage.open(tmp_path, built(tmp_path, documents))
    rows, scores = leg.search([{"pl:rot": 1.0, "de:rot": 1.0}, {}], k=3)
    assert rows.tolist() == [[0, 2, -1], [-1, -1, -1]]
    assert scores[0, 0] == scores[0, 1]
    assert (rows.dtype, scores.dtype) == (np.int32, np.float32)


def test_both_engines_give_the_same(tmp_path: Path) -> None:
    leg = leg_of(tmp_path)
    asked = [Counter(leg.analyzer.terms(text)) for text in QUESTIONS]
    for one, other in zip(
        leg.search(asked, k=4, engine="numpy"), leg.search(asked, k=4, engine="numba", threads=2), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_facts_say_every_language_and_count_it(tmp_path: Path) -> None:
    facts = built(tmp_path)
    assert [*facts[COUNTS]] == [*facts["analyzer"]["languages"]] == ["de", "en", "pl", "und", "zh"]
    assert [counts["n_docs"] for counts in facts[COUNTS].values()] == [3, 2, 1, 1, 1]
    assert facts["n_docs"] == len(TEXTS)
    assert facts["n_tokens"] == sum(counts["n_tokens"] for counts in facts[COUNTS].values())
    assert facts["analyzer"]["languages"]["de"]["stemmer"] == "german"
    assert facts["analyzer"]["languages"]["und"]["stemmer"] == "none"


def test_a_build_repeats_to_the_byte(tmp_path: Path) -> None:
    one, other = built(tmp_path / "one"), built(tmp_path / "other")
    assert one == other
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert len(files) > 5
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ({"version": 3}, "by language of version 3"),
        ({COUNTS: {"de": {}}}, "cannot be read"),
        ({"analyzer": {}}, "cannot be read"),
    ],
)
def test_facts_that_cannot_be_are_refused(damage: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(IndexProblem, match=says):
        LexicalByLanguage.open(tmp_path, built(tmp_path) | damage)


def test_rows_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    facts = built(tmp_path)
    np.save(tmp_path / "languages.npy", np.zeros(len(TEXTS), np.int32))
    with pytest.raises(IndexProblem, match="languages do not fit together"):
        LexicalByLanguage.open(tmp_path, facts)


def test_a_language_fewer_than_texts_is_no_index(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shorter"):
        LexicalByLanguage.build(TEXTS, LANGUAGES[1:], tmp_path, analyzer=ASKED, bm25=LexicalSettings())


def test_a_ragline_from_before_says_that_it_cannot_read_it(tmp_path: Path) -> None:
    with pytest.raises(IndexProblem, match="lexical leg of version 2; this ragline reads version 1"):
        LexicalLeg.open(tmp_path, built(tmp_path))


def test_a_corpus_that_claims_thousands_of_languages_is_kept_by_few(tmp_path: Path) -> None:
    codes = [f"{one}{two}{three}" for one in "abcdefgh" for two in "abcdefgh" for three in "abcdefgh"]
    documents = tuple((code, f"word{number} talot") for number, code in enumerate(codes))
    leg = LexicalByLanguage.open(tmp_path / "leg", built(tmp_path / "leg", documents))
    assert len(leg.analyzer.analyzers) == MOST_LANGUAGES + 1
    assert leg.n_docs == len(codes)
    for row in (0, MOST_LANGUAGES - 1, MOST_LANGUAGES, len(codes) - 1):
        rows, scores = leg.search([dict(Counter(leg.analyzer.terms(f"word{row}")))], k=1)
        assert rows[0, 0] == row
        assert 0 < scores[0, 0] < 1
