"""Analyzers of several languages: what a document and a question become."""

from __future__ import annotations

from typing import Any

import pytest

from rag.core.errors import IndexMismatch, MissingDependency
from retrievers.analysis.analyzer import Analyzer
from retrievers.analysis.multilingual import (
    EachLanguage,
    analyzer_of,
    described_analyzer,
    differ,
    settings_described,
    together,
)
from retrievers.analysis.settings import EACH, AnalyzerSettings


def each(*codes: str, **more: Any) -> EachLanguage:
    settings = AnalyzerSettings.model_validate({"language": EACH, **more})
    return EachLanguage(settings, {code: analyzer_of(settings, code) for code in codes})


def test_a_document_is_analysed_in_its_language_alone() -> None:
    analyzer = each("de", "en", "zh", "und")
    assert analyzer.document_terms("Die Häuser der Kinder", "de") == ["de:die", "de:haus", "de:der", "de:kind"]
    assert analyzer.document_terms("The houses", "en") == ["en:hous"]
    assert analyzer.document_terms("北京大学", "zh") == ["zh:北京", "zh:京大", "zh:大学"]
    assert analyzer.document_terms("Häuser", "") == ["und:häuser"]
    assert analyzer.document_terms("talot", "fi") == ["und:talot"], "languages that have no part are with the unknown"
    assert each("de").document_terms("talot", "fi") == [], "no document is in it"


def test_a_question_is_asked_in_every_language() -> None:
    assert each("de", "en").terms("Die Häuser") == ["de:die", "de:haus", "en:die", "en:häuser"]
    assert each("pl").terms("domy") == each("pl").document_terms("domy", "pl")


@pytest.mark.parametrize("code", ["zh", "ja", "ko"])
def test_text_without_spaces_is_cut_into_bigrams_in_every_language(code: str) -> None:
    assert each(code).terms("東京タワー") == [f"{code}:{pair}" for pair in ("東京", "京タ", "タワ", "ワー")]
    assert each(code, cjk="characters").terms("東京") == [f"{code}:東", f"{code}:京"]


def test_a_stemmer_that_a_language_has_not_gives_way() -> None:
    assert each("de", "en", stemmer="porter").describe()["languages"]["de"]["stemmer"] == "german"
    assert each("pl", "zh", stemmer="lemmas").terms("psa") == ["pl:pies", "zh:psa"]
    assert each("de", stemmer="none").terms("Häuser") == ["de:häuser"]


def test_a_library_that_is_not_there_is_no_reason_to_stem_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.core.optional.find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match="simplemma"):
        each("pl", stemmer="lemmas")


def test_what_describes_itself_is_made_again() -> None:
    ours = each("de", "zh", "und", stemmer="lemmas", stop_words="none")
    again = described_analyzer(ours.describe())
    assert again.describe() == ours.describe()
    assert again.language == "de, und, zh"
    text = "Häuser in 北京"
    assert again.terms(text) == ours.terms(text)
    assert isinstance(described_analyzer(Analyzer(AnalyzerSettings(language="en")).describe()), Analyzer)


@pytest.mark.parametrize("damage", [{"languages": None}, {"languages": 3}, {"stemmer": "magic"}, {"cjk": None}])
def test_a_damaged_description_is_refused(damage: dict[str, Any]) -> None:
    with pytest.raises(IndexMismatch, match="does not say how its languages were analysed"):
        described_analyzer({**each("de").describe(), **damage})


def test_a_language_that_is_analysed_otherwise_here_is_refused() -> None:
    described = each("de").describe()
    described["languages"]["de"]["stemmer_version"] = "0.9.0"
    with pytest.raises(IndexMismatch, match=r"0\.9\.0"):
        described_analyzer(described)


def test_analyzers_of_several_indexes_are_asked_together_unless_they_differ() -> None:
    one, other = each("de", "en"), each("en", "pl")
    assert not differ(one.describe(), other.describe())
    assert together([one, other]).language == "de, en, pl"
    assert differ(one.describe(), each("en", "pl", stemmer="none").describe())
    changed = each("en").describe()
    changed["languages"]["en"]["version"] = 0
    assert differ(one.describe(), changed)
    plain = Analyzer(AnalyzerSettings(language="en"))
    assert together([plain, Analyzer(AnalyzerSettings(language="en"))]) is plain
    assert differ(plain.describe(), one.describe())


def test_an_unknown_code_says_what_is_allowed() -> None:
    with pytest.raises(ValueError, match=r"ISO 639-1 code such as 'en' or 'zh', 'each' for documents of several"):
        Analyzer(AnalyzerSettings(language="german"))


def test_settings_describe_themselves_before_there_is_a_document() -> None:
    asked = AnalyzerSettings(language=EACH)
    assert settings_described(asked) == {"language": EACH, "stemmer": "auto", "stop_words": "auto", "cjk": "bigrams"}
    assert settings_described(AnalyzerSettings(language="en")) == Analyzer(AnalyzerSettings(language="en")).describe()
    assert asked.model_dump() == {"language": EACH, "stemmer": "auto", "stop_words": "auto"}
