"""The language of documents: told by the real model, written into metadata, counted in the manifest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rag.indexing import build_index, remove_from_index
from rag.ingest.language import LanguageReader, code_of
from rag.ingest.settings import ReadSettings
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings

GERMAN = "Die Räder müssen vor jeder Fahrt geprüft werden, und die Bremsen dürfen nicht schleifen."
ENGLISH = "The wheels must be checked before every ride, and the brakes must not rub on the rims."
POLISH = "Przed każdą jazdą należy sprawdzić koła, a hamulce nie mogą ocierać o obręcze."
CHINESE = "每次骑行前必须检查车轮，刹车不得摩擦轮圈。"
CODE = "x = [1, 2]; y(7)"
TELL = IndexSettings.model_validate({"reading": {"languages": True}})


@pytest.fixture(scope="module")
def languages() -> LanguageReader:
    return LanguageReader()


@pytest.mark.parametrize(("text", "code"), [(GERMAN, "de"), (ENGLISH, "en"), (POLISH, "pl"), (CHINESE, "zh")])
def test_languages_are_told(languages: LanguageReader, text: str, code: str) -> None:
    assert languages.of(text) == code


@pytest.mark.parametrize("text", ["", " \n", "1 2 3, 4!", CODE, "\ud800\udfff", "Hello", "\x00" * 9])
def test_of_what_is_in_no_clear_language_nothing_is_said(languages: LanguageReader, text: str) -> None:
    assert languages.of(text) == ""


def test_five_scripts_in_one_text_and_a_very_long_one_get_an_answer_or_none(languages: LanguageReader) -> None:
    mixed = f"{GERMAN} {CHINESE} Привет, как дела? これは日本語です。 서울은 수도이다."
    assert languages.of(mixed) in ("", "de", "zh", "ru", "ja", "ko")
    assert languages.of(ENGLISH + "x" * 1_000_000) == "en"


@pytest.mark.parametrize(
    ("said", "code"),
    [("de", "de"), ("de-AT", "de"), ("PT_br", "pt"), ("Deutsch", ""), ("", ""), (7, ""), (None, ""), ("d" * 9_999, "")],
)
def test_what_a_file_says_counts_where_it_is_a_code(said: object, code: str) -> None:
    assert code_of({"lang": said}) == code


def test_documents_say_their_language_and_the_manifest_counts_them(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    for name, text in (("a", GERMAN), ("b", ENGLISH), ("c", ENGLISH), ("d", CODE)):
        (tmp_path / "notes" / f"{name}.txt").write_text(text)
    report = build_index(tmp_path / "notes", tmp_path / "index", settings=TELL, legs=["lexical"])
    assert report.languages == {"en": 2, "": 1, "de": 1}
    with LocalIndex.open(tmp_path / "index") as index:
        assert index.manifest.corpus.languages == report.languages
        assert [document.metadata.get("lang") for document in index.documents] == ["de", "en", "en", None]
    again = build_index(tmp_path / "notes", tmp_path / "index", settings=TELL, legs=["lexical"])
    assert again.unchanged
    assert again.languages == report.languages


def test_what_a_record_says_of_its_language_stays_and_what_is_removed_is_not_counted(tmp_path: Path) -> None:
    records = [
        {"_id": "1", "text": ENGLISH, "lang": "en-GB"},
        {"_id": "2", "text": GERMAN, "lang": "Deutsch!"},
        {"_id": "3", "text": POLISH},
        {"_id": "4", "text": POLISH},
    ]
    (tmp_path / "corpus.jsonl").write_text("\n".join(map(json.dumps, records)))
    report = build_index(tmp_path / "corpus.jsonl", tmp_path / "index", settings=TELL, legs=["lexical"])
    assert report.languages == {"pl": 2, "de": 1, "en": 1}
    with LocalIndex.open(tmp_path / "index") as index:
        assert [document.metadata["lang"] for document in index.documents] == ["en-GB", "de", "pl", "pl"]
    left = remove_from_index(["3"], tmp_path / "index", most_lost=1.0)
    assert left.languages == {"de": 1, "en": 1, "pl": 1}


def test_a_long_document_that_comes_in_stretches_has_one_language(tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text("\n\n".join([GERMAN] * 15_000 + [ENGLISH] * 15_000))
    report = build_index(tmp_path / "long.txt", tmp_path / "index", settings=TELL, legs=["lexical"])
    assert (report.n_documents, report.languages) == (1, {"de": 1})
    with LocalIndex.open(tmp_path / "index") as index:
        assert {index.documents[row].metadata["lang"] for row in (0, len(index) - 1)} == {"de"}


def test_an_index_for_which_nobody_looks_is_what_it_was(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(GERMAN)
    report = build_index(tmp_path / "a.txt", tmp_path / "index", legs=["lexical"])
    assert report.languages == {}
    with LocalIndex.open(tmp_path / "index") as index:
        assert "lang" not in index.documents[0].metadata
        assert "languages" not in index.manifest.as_json()
    assert ReadSettings().model_dump() == {"ocr": False}
