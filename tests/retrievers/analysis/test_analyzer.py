"""What text becomes in the lexical leg."""

from __future__ import annotations

import re
import threading
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.core.errors import IndexMismatch, MissingDependency
from retrievers.analysis.analyzer import LUCENE_STOP_WORDS, Analyzer
from retrievers.analysis.cjk import CUTS, split
from retrievers.analysis.settings import AnalyzerSettings
from retrievers.analysis.stemming import STEMMERS


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


def test_chinese_is_cut_into_bigrams_and_other_words_stay_whole() -> None:
    assert _terms("北京大学 was founded 1898年", "zh") == ["北京", "京大", "大学", "was", "founded", "1898", "年"]


def test_chinese_may_be_cut_into_characters_or_both() -> None:
    text = "北京大 1898年"
    assert _terms(text, "zh", cjk="characters") == ["北", "京", "大", "1898", "年"]
    assert _terms(text, "zh", cjk="both") == ["北", "北京", "京", "京大", "大", "1898", "年"]


def test_bigrams_cut_japanese_and_korean_too_and_characters_leave_katakana_and_hangul_whole() -> None:
    text = "東京タワー 서울대학교"
    assert _terms(text, "ja", cjk="bigrams") == ["東京", "京タ", "タワ", "ワー", "서울", "울대", "대학", "학교"]
    assert _terms(text, "ja") == ["東", "京", "タワー", "서울대학교"]
    assert _terms("ﾀﾜｰ・タ", "ja", cjk="bigrams") == ["タワ", "ワー", "タ"]


def test_every_way_to_cut_that_a_graph_may_name_is_in_the_table() -> None:
    assert ["auto", *CUTS] == list(get_args(AnalyzerSettings.model_fields["cjk"].annotation))


def test_an_index_from_before_bigrams_is_cut_as_it_was() -> None:
    before = Analyzer(AnalyzerSettings(language="zh", cjk="characters")).describe()
    assert "cjk" not in before
    assert Analyzer.from_description(before).terms("北京") == ["北", "京"]
    with pytest.raises(IndexMismatch, match="trigrams"):
        Analyzer.from_description({**before, "cjk": "trigrams"})


def test_settings_say_nothing_of_it_unless_asked() -> None:
    assert "cjk" not in AnalyzerSettings(language="zh").model_dump()
    assert AnalyzerSettings(language="en", cjk="both").model_dump()["cjk"] == "both"


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
    analyzer = Analyzer(AnalyzerSettings(language="en"))
    assert analyzer.terms(text) == []
    assert reason in analyzer.why_no_terms(text)


def test_wrong_settings_name_what_is_allowed() -> None:
    with pytest.raises(ValueError, match="ISO 639-1"):
        Analyzer(AnalyzerSettings(language="English"))
    with pytest.raises(ValueError, match="'porter' is for English"):
        Analyzer(AnalyzerSettings(language="de", stemmer="porter"))
    with pytest.raises(ValueError, match=r"no dictionary for language 'zh'; there is one for .*pl.*Use auto"):
        Analyzer(AnalyzerSettings(language="zh", stemmer="lemmas"))
    with pytest.raises(ValueError, match=r"no Snowball stemmer for language 'zh'.*de"):
        Analyzer(AnalyzerSettings(language="zh", stemmer="snowball"))


def test_the_dictionary_form_is_stemmed_and_unknown_words_are_stemmed_alone() -> None:
    assert _terms("psy psa psem", "pl", stemmer="lemmas") == _terms("pies pies pies", "pl")
    assert _terms("psy", "pl") != _terms("pies", "pl")  # the rules alone do not know
    assert _terms("ragliny", "pl", stemmer="lemmas") == _terms("ragliny", "pl")


def test_a_word_that_is_none_is_not_looked_up() -> None:
    assert len(_terms("x" * 100_000, "pl", stemmer="lemmas")) == 1
    assert _terms("北京 1898 x", "pl", stemmer="lemmas") == ["北", "京", "1898", "x"]


def test_lemmas_say_the_dictionary_and_what_stems_its_forms() -> None:
    polish = Analyzer(AnalyzerSettings(language="pl", stemmer="lemmas")).describe()
    assert (polish["stemmer"], polish["then"]) == ("lemmas", "polish")
    assert {"lemmas_version", "stemmer_version"} <= set(polish)
    latin = Analyzer(AnalyzerSettings(language="la", stemmer="lemmas")).describe()
    assert (latin["then"], "stemmer_version" in latin) == ("none", False)
    with pytest.raises(IndexMismatch, match=r"lemmas_version '0\.1'; here it would be lemmas_version"):
        Analyzer.from_description({**polish, "lemmas_version": "0.1"})


def test_lemmas_without_their_library_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.core.optional.find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=r"stemmer 'lemmas' needs simplemma.*\[languages\]"):
        Analyzer(AnalyzerSettings(language="pl", stemmer="lemmas"))


def test_every_stemmer_that_a_graph_may_name_is_in_the_table() -> None:
    assert list(STEMMERS) == list(get_args(AnalyzerSettings.model_fields["stemmer"].annotation))


@pytest.mark.parametrize("stemmer", ["auto", "lemmas"])
@pytest.mark.parametrize("language", ["en", "de", "pl", "sw"])
def test_a_description_names_the_stemmer(language: str, stemmer: str) -> None:
    ours = Analyzer(AnalyzerSettings.model_validate({"language": language, "stemmer": stemmer}))
    again = Analyzer.from_description(ours.describe())
    text = "Die Häuser der psy, running psem"
    assert again.describe() == ours.describe()
    assert again.terms(text) == ours.terms(text)


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
        {"language": "de", "stemmer": "lemmas"},
        {"stemmer": "snowball"},
        {"stemmer": "none"},
        {"stop_words": "none"},
        {"cjk": "bigrams"},
        {"cjk": "both"},
    ]
    described = [
        str(Analyzer(AnalyzerSettings.model_validate({"language": "en", **kind})).describe()) for kind in kinds
    ]
    assert len(set(described)) == len(kinds)
    assert (
        Analyzer(AnalyzerSettings(language="en", stemmer="porter")).describe()
        == Analyzer(AnalyzerSettings(language="en")).describe()
    )


def test_another_stemmer_library_is_refused_with_both_sides_named() -> None:
    description = Analyzer(AnalyzerSettings(language="de")).describe()
    with pytest.raises(IndexMismatch, match=r"stemmer_version '0\.9\.0'; here it would be stemmer_version '\d"):
        Analyzer.from_description({**description, "stemmer_version": "0.9.0"})


def test_a_changed_stop_word_list_is_refused() -> None:
    description = Analyzer(AnalyzerSettings(language="en")).describe()
    with pytest.raises(IndexMismatch, match="stop_words_sha256 'feed'"):
        Analyzer.from_description({**description, "stop_words_sha256": "feed"})


@pytest.mark.parametrize("damage", [{"language": 7}, {"language": "German"}, {"stemmer": "klingon", "language": "zh"}])
def test_a_senseless_description_is_refused(damage: dict[str, object]) -> None:
    with pytest.raises(IndexMismatch, match="Build the index again"):
        Analyzer.from_description({**Analyzer(AnalyzerSettings(language="en")).describe(), **damage})


def test_threads_share_an_analyzer() -> None:
    analyzer = Analyzer(AnalyzerSettings(language="en"))
    texts = [f"running {'horses ' * n} flying{n}" for n in range(50)]
    expected = [analyzer.terms(text) for text in texts]
    found: list[list[list[str]]] = []
    threads = [threading.Thread(target=lambda: found.append([analyzer.terms(t) for t in texts])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4


@pytest.mark.parametrize("language", ["en", "pl", "zh", "ja", "ko"])
def test_nothing_is_said_of_a_language_that_is_known(language: str) -> None:
    assert Analyzer(AnalyzerSettings(language=language)).why_unstemmed() == ""


def test_of_a_language_without_a_stemmer_the_known_ones_are_named() -> None:
    said = Analyzer(AnalyzerSettings(language="xx")).why_unstemmed()
    assert "language 'xx' has no stemmer here" in said
    assert ", de, " in said
    assert "(ISO 639-1)" in said
    assert Analyzer(AnalyzerSettings(language="xx", stemmer="none")).why_unstemmed() == ""


@given(
    st.text(st.sampled_from("aÉ ß_9.-") | st.sampled_from("中カ한\u0301\u093fक") | st.characters()),
    st.sampled_from(sorted(CUTS)),
)
def test_text_without_marks_and_unspaced_letters_has_the_words_that_it_has_beside_them(text: str, cjk: str) -> None:
    # A mark that stands alone is no word, so that whatever stands before it keeps its words.
    assert split(text, cjk) == split(f"{text} \u0301", cjk)


def test_words_of_ascii_are_runs_of_letters_digits_and_underscores() -> None:
    every = "".join(f"a{chr(code)}b " for code in range(128))
    analyzer = Analyzer(AnalyzerSettings(language="en", stemmer="none", stop_words="none"))
    assert analyzer.terms(every) == re.findall(r"\w+", every.lower(), re.ASCII)
