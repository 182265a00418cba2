"""What an index says of its language: of models that were made for others, of stemmers, of codes that are none."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from rag.core.errors import IndexMismatch, IndexProblem, SpecError
from rag.core.types import Document, Query
from rag.indexing import add_documents, build_index
from rag.indexing.languages import (
    chosen_by_languages,
    chosen_language,
    languages_glimpsed,
    languages_seen,
    named_language,
    warn_of_language,
)
from rag.indexing.place import DirectoryWriter
from retrievers.analysis.settings import AnalyzerSettings
from retrievers.encoders import by_language
from retrievers.index.directory import LocalIndex
from retrievers.index.opened import require_match
from retrievers.index.settings import IndexSettings
from retrievers.legs.dense.settings import DenseSettings
from retrievers.legs.lexical.retriever import BM25Retriever
from retrievers.legs.protocol import MADE_BY
from tests.tiny_models import tiny_sentence_model

POLISH = IndexSettings(analyzer=AnalyzerSettings(language="pl"))
ENGLISH = IndexSettings(analyzer=AnalyzerSettings(language="en"))
EACH_ITS_OWN = IndexSettings(analyzer=AnalyzerSettings(language="each"))

GERMAN = "Der Hund ist auf dem Dach und die Katze ist nicht mehr im Haus, denn es hat geregnet."
ENGLISH_TEXT = "The dog is on the roof, and the cat is no longer in the house, for it has been raining."
POLISH_TEXTS = ["Zamek został zbudowany w roku 1400 na wzgórzu, które jest dziś w środku miasta.", "x = 12"]


def told(
    caplog: pytest.LogCaptureFixture,
    settings: IndexSettings,
    legs: tuple[str, ...],
    **seen: int,
) -> str:
    with caplog.at_level(logging.WARNING):
        warn_of_language(settings, legs, seen)
    return caplog.text


def test_models_for_english_over_polish_are_named(caplog: pytest.LogCaptureFixture) -> None:
    said = told(caplog, POLISH, ("lexical", "dense", "sparse"))
    assert "the texts are in 'pl'" in said
    assert "all-minilm-l6-v2 (dense, for en); splade-tiny (sparse, for en)" in said


@pytest.mark.parametrize(
    ("settings", "legs"),
    [
        (ENGLISH, ("lexical", "dense")),
        (POLISH, ("lexical",)),
        (POLISH.model_copy(update={"dense": DenseSettings(encoder="some/multilingual")}), ("dense",)),
    ],
)
def test_nothing_is_said_where_nothing_is_wrong(
    caplog: pytest.LogCaptureFixture, settings: IndexSettings, legs: tuple[str, ...]
) -> None:
    assert told(caplog, settings, legs) == ""


def test_the_language_of_most_texts_counts(caplog: pytest.LogCaptureFixture) -> None:
    assert "the texts are in 'de'" in told(caplog, IndexSettings(), ("dense",), en=2, de=3)
    caplog.clear()
    assert told(caplog, POLISH, ("dense",), en=5, pl=1) == ""


def test_words_that_are_analysed_in_a_language_of_others_are_told(caplog: pytest.LogCaptureFixture) -> None:
    said = told(caplog, ENGLISH, ("lexical",), en=60, pl=30, de=9)
    assert "words are analysed as 'en', and of 99 texts that were looked at 30 are in 'pl'. " in said
    caplog.clear()
    assert told(caplog, ENGLISH, ("dense",), en=60, pl=30) == ""
    assert told(caplog, EACH_ITS_OWN, ("lexical",), en=60, pl=30) == ""
    assert told(caplog, ENGLISH, ("lexical",), en=98, pl=2) == ""


def test_some_texts_show_the_language_of_all() -> None:
    assert languages_seen(POLISH_TEXTS) == {"pl": 1}
    assert languages_seen([*POLISH_TEXTS, *["x = 12"] * 9]) == {}
    assert languages_seen([]) == {}


def test_files_are_looked_at_beside_rows_so_that_a_long_table_does_not_speak_for_all() -> None:
    texts, rows = [*[GERMAN] * 40, *["city: Berlin, amount: 12"] * 20_000], range(40)
    assert languages_seen(texts) == {}
    assert languages_seen(texts, [*rows, 40]) == {"de": 40}


def test_languages_that_common_words_do_not_tell_apart_are_told_by_their_letters() -> None:
    ukrainian = "Замок було збудовано на пагорбі, який сьогодні стоїть у центрі міста, і його видно здалеку."
    assert languages_seen([ukrainian] * 3) == {"uk": 3}


@pytest.mark.parametrize(
    ("seen", "language"),
    [
        ({}, "en"),
        ({"pl": 4}, "pl"),
        ({"en": 90, "de": 9}, "en"),
        ({"en": 90, "de": 10}, "each"),
        ({"zh": 1, "en": 1}, "each"),
    ],
)
def test_what_auto_comes_to(seen: dict[str, int], language: str) -> None:
    assert chosen_language(seen) == language


def files(folder: Path, **texts: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


def analysed(index: Path) -> str:
    with LocalIndex.open(index) as opened:
        return opened.manifest.settings.analyzer.language


def found(index: Path, words: str) -> list[str]:
    with LocalIndex.open(index) as opened:
        [ranking] = BM25Retriever(index=opened).retrieve([Query(qid="q", text=words)], k=5)
    return [hit.document.doc_id for hit in ranking.hits]


def test_an_index_is_analysed_in_the_language_of_its_texts_unasked(tmp_path: Path) -> None:
    report = build_index(files(tmp_path / "notes", a=GERMAN), tmp_path / "index", legs=["lexical"])
    assert report.chosen_language == analysed(tmp_path / "index") == "de"
    assert found(tmp_path / "index", "Dächer") == found(tmp_path / "index", "Katze") == ["notes/a.txt#1"]


@pytest.fixture
def encoders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Tiny models in the place of the two that are chosen from, of other widths and so of other rulers."""
    made = {}
    for number, name in enumerate(("ENGLISH", "MULTILINGUAL"), start=1):
        made[name] = str(tiny_sentence_model(tmp_path / name, seed=number, dim=8 * number))
        monkeypatch.setattr(by_language, name, made[name])
    return made


def encoder_of(index: Path) -> str:
    with LocalIndex.open(index) as opened:
        settings = opened.manifest.settings.section("dense")
        assert isinstance(settings, DenseSettings)
        assert opened.facts("dense")[MADE_BY]["name"] == settings.encoder
        return str(settings.encoder)


@pytest.mark.parametrize(
    ("seen", "name"),
    [
        ({}, "all-minilm-l6-v2"),
        ({"en": 91, "de": 9}, "all-minilm-l6-v2"),
        ({"en": 89, "de": 6, "pl": 5}, "multilingual-e5-small"),
        ({"zh": 1}, "multilingual-e5-small"),
    ],
)
def test_the_encoder_for_languages(seen: dict[str, int], name: str) -> None:
    assert by_language.encoder_for(seen) == name


@pytest.mark.parametrize(
    ("seen", "listed"),
    [
        ({"de": 98, "en": 2}, "de"),
        ({"de": 50, "en": 50}, "de and en"),
        ({"en": 89, "de": 6, "pl": 5}, "en and de"),
        ({"en": 85, "de": 5, "pl": 5, "fr": 5}, "en, de and pl"),
    ],
)
def test_languages_are_named_until_the_rest_does_not_count(seen: dict[str, int], listed: str) -> None:
    told = chosen_by_languages(IndexSettings(), ["dense"], seen)
    assert told == {"dense": f"multilingual-e5-small, as the texts are in {listed}"}


@pytest.mark.parametrize(
    ("texts", "name"), [([GERMAN], "MULTILINGUAL"), ([ENGLISH_TEXT], "ENGLISH"), (["x = f(y) + 42"], "ENGLISH")]
)
def test_vectors_are_made_by_the_encoder_for_the_language_of_the_texts(
    tmp_path: Path, encoders: dict[str, str], texts: list[str], name: str
) -> None:
    notes = files(tmp_path / "notes", **{f"t{number}": text for number, text in enumerate(texts)})
    report = build_index(notes, tmp_path / "index", legs=["lexical", "dense"])
    assert encoder_of(tmp_path / "index") == encoders[name]
    told = {"dense": f"{encoders[name]}, as the texts are in de"} if name == "MULTILINGUAL" else {}
    assert report.chosen_models == told
    assert build_index(notes, tmp_path / "index").unchanged


def test_texts_are_read_again_where_they_begin_in_another_language(tmp_path: Path, encoders: dict[str, str]) -> None:
    """A table of contents in English, and all the rest of the file in German: a glimpse tells the wrong one."""
    contents = f"{ENGLISH_TEXT}\n" * 50
    notes = files(tmp_path / "notes", a=contents + f"{GERMAN}\n\n" * 400)
    assert languages_glimpsed([notes / "a.txt"]) == {"en": 1}
    report = build_index(notes, tmp_path / "index", legs=["dense"])
    assert encoder_of(tmp_path / "index") == encoders["MULTILINGUAL"]
    with LocalIndex.open(tmp_path / "index") as index:
        assert index.manifest.ruler["name"] == encoders["MULTILINGUAL"]
        assert len(index) == report.n_units > 0


def test_a_language_that_is_named_decides_before_anything_is_read(tmp_path: Path, encoders: dict[str, str]) -> None:
    notes = files(tmp_path / "notes", a="x = f(y) + 42")
    settings = IndexSettings(analyzer=AnalyzerSettings(language="pl"))
    assert named_language(settings) == {"pl": 1}
    build_index(notes, tmp_path / "index", settings=settings, legs=["dense"])
    assert encoder_of(tmp_path / "index") == encoders["MULTILINGUAL"], "the texts show none, so the name counts"


def test_an_index_keeps_its_encoder_until_another_is_named(tmp_path: Path, encoders: dict[str, str]) -> None:
    notes = files(tmp_path / "notes", a=ENGLISH_TEXT)
    build_index(notes, tmp_path / "index", legs=["lexical", "dense"])
    files(notes, b=GERMAN, c=f"{GERMAN} Und sie ist froh.")
    report = build_index(notes, tmp_path / "index", settings=IndexSettings(), legs=["lexical", "dense"])
    assert report.chosen_models == {}
    assert encoder_of(tmp_path / "index") == encoders["ENGLISH"]
    asked = IndexSettings.model_validate({"dense": {"encoder": "auto"}})
    build_index(notes, tmp_path / "index", settings=asked, legs=["lexical", "dense"])
    assert encoder_of(tmp_path / "index") == encoders["MULTILINGUAL"]


def test_the_encoder_is_chosen_when_an_index_first_has_vectors(tmp_path: Path, encoders: dict[str, str]) -> None:
    notes = files(tmp_path / "notes", a=GERMAN)
    build_index(notes, tmp_path / "index", legs=["lexical"])
    build_index(notes, tmp_path / "index", settings=IndexSettings(), legs=["lexical", "dense"])
    assert encoder_of(tmp_path / "index") == encoders["MULTILINGUAL"]


def test_the_encoder_tells_nobody_of_documents_that_they_may_not_read(tmp_path: Path, encoders: dict[str, str]) -> None:
    settings = IndexSettings.model_validate({"reading": {"access": "who", "own_statistics": True}})
    build_index(files(tmp_path / "notes", a=GERMAN), tmp_path / "index", settings=settings, legs=["dense"])
    assert encoder_of(tmp_path / "index") == encoders["ENGLISH"]


def test_a_graph_that_leaves_the_encoder_to_the_build_is_met_by_any(tmp_path: Path, encoders: dict[str, str]) -> None:
    build_index(files(tmp_path / "notes", a=GERMAN), tmp_path / "index", legs=["dense"])
    for said in ({}, {"encoder": "auto"}, {"encoder": encoders["MULTILINGUAL"]}):
        with LocalIndex.open(tmp_path / "index") as index:
            require_match(index.manifest, IndexSettings.model_validate({"dense": said}), ["dense"], name="index")
    wanted = IndexSettings.model_validate({"dense": {"encoder": encoders["ENGLISH"]}})
    with LocalIndex.open(tmp_path / "index") as index, pytest.raises(IndexMismatch, match=r"dense\.encoder"):
        require_match(index.manifest, wanted, ["dense"], name="index")


def test_each_document_is_analysed_in_its_own_language_where_they_are_in_several(
    tmp_path: Path, encoders: dict[str, str]
) -> None:
    notes = files(tmp_path / "notes", a=GERMAN, b=ENGLISH_TEXT)
    report = build_index(notes, tmp_path / "index", legs=["lexical", "dense"])
    assert report.chosen_language == analysed(tmp_path / "index") == "each"
    assert report.languages == {"de": 1, "en": 1}
    assert found(tmp_path / "index", "Dächer") == ["notes/a.txt#1"]
    assert found(tmp_path / "index", "roof") == ["notes/b.txt#1"]
    assert build_index(notes, tmp_path / "index").unchanged


def test_an_index_keeps_its_language_until_another_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    notes = files(tmp_path / "notes", b=ENGLISH_TEXT)
    build_index(notes, tmp_path / "index", legs=["lexical"])
    files(notes, a=GERMAN)
    with caplog.at_level(logging.WARNING):
        report = build_index(notes, tmp_path / "index", settings=IndexSettings(), legs=["lexical"])
    assert report.chosen_language == ""
    assert analysed(tmp_path / "index") == "en"
    assert "of 2 texts that were looked at 1 are in 'de'" in caplog.text
    asked = IndexSettings(analyzer=AnalyzerSettings(language="auto"))
    assert build_index(notes, tmp_path / "index", settings=asked, legs=["lexical"]).chosen_language == "each"
    assert analysed(tmp_path / "index") == "each"


def test_the_language_tells_nobody_of_documents_that_they_may_not_read(tmp_path: Path) -> None:
    notes = files(tmp_path / "notes", a=GERMAN, b=f"{GERMAN} Und sie ist froh.", c=ENGLISH_TEXT)
    settings = IndexSettings.model_validate({"reading": {"access": "who", "own_statistics": True}})
    report = build_index(notes, tmp_path / "index", settings=settings, legs=["lexical"])
    assert report.chosen_language == "en"


def test_the_language_of_most_is_taken_where_the_place_cannot_keep_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(place: DirectoryWriter, settings: IndexSettings, legs: Sequence[str]) -> None:
        if settings.analyzer.language == "each":
            raise IndexProblem("a server has one language")

    monkeypatch.setattr(DirectoryWriter, "require", refuse)
    notes = files(tmp_path / "notes", a=GERMAN, b=f"{GERMAN} Und sie ist froh.", c=ENGLISH_TEXT)
    assert build_index(notes, tmp_path / "index", legs=["lexical"]).chosen_language == "de"


def test_the_language_of_words_is_chosen_when_an_index_first_has_some(tmp_path: Path, encoders: dict[str, str]) -> None:
    notes = files(tmp_path / "notes", a=GERMAN, b=ENGLISH_TEXT)
    report = build_index(notes, tmp_path / "index", legs=["dense"])
    assert (report.chosen_language, report.languages) == ("", {})
    manifest = json.loads(next((tmp_path / "index").glob("*/manifest.json")).read_text())
    assert "analyzer" not in manifest["settings"], "an older version reads it too"
    both = build_index(notes, tmp_path / "index", settings=IndexSettings(), legs=["lexical", "dense"])
    assert both.chosen_language == analysed(tmp_path / "index") == "each"


def test_documents_are_added_to_an_index_that_chose_its_language(tmp_path: Path) -> None:
    build_index(files(tmp_path / "notes", a=GERMAN), tmp_path / "index", legs=["lexical"])
    more = [Document(doc_id="b", text="Zwei Dächer.")]
    add_documents(more, tmp_path / "index", settings=IndexSettings(), legs=["lexical"])
    assert set(found(tmp_path / "index", "Dach")) == {"notes/a.txt#1", "b"}


def test_a_graph_that_leaves_the_language_to_the_build_is_met_by_any(tmp_path: Path) -> None:
    build_index(files(tmp_path / "notes", a=GERMAN), tmp_path / "index", legs=["lexical"])
    for said in ({}, {"language": "auto"}, {"language": "de"}):
        with LocalIndex.open(tmp_path / "index") as index:
            require_match(index.manifest, IndexSettings.model_validate({"analyzer": said}), ["lexical"], name="index")


def test_a_language_that_is_no_code_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"must be an ISO 639-1 code such as 'en' or 'zh', 'each' .* got 'English'"):
        IndexSettings.model_validate({"analyzer": {"language": "English"}})


def test_an_analyzer_that_is_not_there_is_refused_before_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Mambo mazuri.")
    settings = IndexSettings.model_validate({"analyzer": {"language": "xx", "stemmer": "snowball"}})
    read: list[str] = []
    why = "no Snowball stemmer for language 'xx'; there is one for "
    with pytest.raises(SpecError, match=rf"index\.analyzer: {re.escape(why)}"):
        build_index(
            tmp_path / "a.txt",
            tmp_path / "index",
            settings=settings,
            legs=["lexical"],
            progress=lambda step, done, total: read.append(step),
        )
    assert read == []


def test_a_language_without_a_stemmer_is_indexed_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.txt").write_text("Mambo mazuri.")
    settings = IndexSettings(analyzer=AnalyzerSettings(language="sw"))
    with caplog.at_level(logging.WARNING):
        build_index(tmp_path / "a.txt", tmp_path / "index", settings=settings, legs=["lexical"])
    assert "index.analyzer: language 'sw' has no stemmer here" in caplog.text
    with LocalIndex.open(tmp_path / "index") as index:
        [ranking] = BM25Retriever(index=index).retrieve([Query(qid="q", text="mazuri")], k=1)
    assert len(ranking.hits) == 1
