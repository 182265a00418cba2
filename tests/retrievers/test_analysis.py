"""What text becomes in the lexical leg."""

from __future__ import annotations

import threading

import pytest

from rag.core.errors import IndexMismatch
from retrievers.analysis import LUCENE_STOP_WORDS, Analyzer
from retrievers.analyzer_settings import AnalyzerSettings


def _terms(text: str, language: str = "en", **more: str) -> list[str]:
    return Analyzer(AnalyzerSettings.model_validate({"language": language, **more})).terms(text)


def test_english_is_lower_cased_stopped_and_stemmed_by_porter() -> None:
    assert _terms("The Ponies were happily RUNNING into flies") == ["poni", "were", "happili", "run", "fli"]


def test_words_of_one_letter_are_kept() -> None:
    assert _terms("vitamin C, plan B, x = 7") == ["vitamin", "c", "plan", "b", "x", "7"]


def test_stop_words_are_lucenes_33() -> None:
    assert len(LUCENE_STOP_WORDS) == 33
    assert _terms(" ".join(LUCENE_STOP_WORDS)) == []
    assert _terms("to be or not to be", stop_words="none") == ["to", "be", "or", "not", "to", "be"]


def test_languages_have_their_own_stemmer_and_no_stop_words() -> None:
    assert _terms("Die Häuser der Kinder", "de") == ["die", "haus", "der", "kind"]
    assert _terms("les chevaux continuaient", "fr") == ["le", "cheval", "continu"]


def test_a_language_without_stemmer_keeps_whole_words() -> None:
    assert _terms("Mambo mazuri", "sw") == ["mambo", "mazuri"]


def test_chinese_is_split_into_characters_and_other_words_stay_whole() -> None:
    assert _terms("北京大学 was founded 1898年", "zh") == ["北", "京", "大", "学", "was", "founded", "1898", "年"]


def test_chinese_inside_english_is_split_too() -> None:
    assert _terms("the word 中国") == ["word", "中", "国"]


def test_marks_stay_with_their_letter() -> None:
    assert _terms("हिन्दी भाषा", "hi", stemmer="none") == ["हिन्दी", "भाषा"]


def test_composed_decomposed_and_compatible_letters_are_one() -> None:
    assert _terms("café ﬁle ＡＢＣ", stemmer="none") == _terms("cafe\u0301 file abc", stemmer="none")


def test_soft_hyphens_vanish() -> None:
    assert _terms("hy\u00adphen", stemmer="none") == ["hyphen"]


def test_turkish_tells_dotted_from_dotless_i() -> None:
    assert _terms("ISPARTA İzmir", "tr", stemmer="none") == ["ısparta", "izmir"]
    assert _terms("İzmir", stemmer="none") == ["izmir"]


def test_nul_and_lone_surrogates_separate_words() -> None:
    assert _terms("red\x00blue\ud800green") == ["red", "blue", "green"]


def test_a_hundred_thousand_characters_are_no_trouble() -> None:
    assert len(_terms("word " * 20_000)) == 20_000
    assert len(_terms("x" * 100_000)) == 1
    assert len(_terms("字" * 100_000)) == 100_000


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (" \n", "empty"),
        ("?! -- 🙂", "no letter or digit"),
        ("\x00", "no letter or digit"),
        ("to the", "stop words (the, to)"),
    ],
)
def test_why_there_are_no_terms(text: str, reason: str) -> None:
    analyzer = Analyzer(AnalyzerSettings())
    assert analyzer.terms(text) == []
    assert reason in analyzer.why_no_terms(text)


def test_wrong_settings_name_what_is_allowed() -> None:
    with pytest.raises(ValueError, match="ISO 639-1"):
        Analyzer(AnalyzerSettings(language="English"))
    with pytest.raises(ValueError, match="'porter' is for English"):
        Analyzer(AnalyzerSettings(language="de", stemmer="porter"))
    with pytest.raises(ValueError, match=r"no Snowball stemmer for language 'zh'.*de"):
        Analyzer(AnalyzerSettings(language="zh", stemmer="snowball"))


@pytest.mark.parametrize("language", ["en", "de", "zh", "sw"])
@pytest.mark.parametrize("stop_words", ["auto", "none"])
def test_a_description_makes_the_same_analyzer(language: str, stop_words: str) -> None:
    settings = AnalyzerSettings.model_validate({"language": language, "stop_words": stop_words})
    description = Analyzer(settings).describe()
    again = Analyzer.from_description(description)
    assert again.describe() == description
    text = "The Kinder of 北京 were running"
    assert again.terms(text) == Analyzer(settings).terms(text)


def test_settings_that_make_other_terms_describe_themselves_differently() -> None:
    kinds = [
        {},
        {"language": "de"},
        {"stemmer": "snowball"},
        {"stemmer": "none"},
        {"stop_words": "none"},
    ]
    described = [str(Analyzer(AnalyzerSettings.model_validate(kind)).describe()) for kind in kinds]
    assert len(set(described)) == len(kinds)
    assert Analyzer(AnalyzerSettings(stemmer="porter")).describe() == Analyzer(AnalyzerSettings()).describe()


def test_another_stemmer_library_is_refused_with_both_sides_named() -> None:
    description = Analyzer(AnalyzerSettings(language="de")).describe()
    with pytest.raises(IndexMismatch, match=r"stemmer_version '0\.9\.0'; here it would be stemmer_version '\d"):
        Analyzer.from_description({**description, "stemmer_version": "0.9.0"})


def test_a_changed_stop_word_list_is_refused() -> None:
    description = Analyzer(AnalyzerSettings()).describe()
    with pytest.raises(IndexMismatch, match="stop_words_sha256 'feed'"):
        Analyzer.from_description({**description, "stop_words_sha256": "feed"})


@pytest.mark.parametrize("damage", [{"language": 7}, {"language": "German"}, {"stemmer": "klingon", "language": "zh"}])
def test_a_senseless_description_is_refused(damage: dict[str, object]) -> None:
    with pytest.raises(IndexMismatch, match="Build the index again"):
        Analyzer.from_description({**Analyzer(AnalyzerSettings()).describe(), **damage})


def test_threads_share_an_analyzer() -> None:
    analyzer = Analyzer(AnalyzerSettings())
    texts = [f"running {'horses ' * n} flying{n}" for n in range(50)]
    expected = [analyzer.terms(text) for text in texts]
    found: list[list[list[str]]] = []
    threads = [threading.Thread(target=lambda: found.append([analyzer.terms(t) for t in texts])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4
