"""Filters that a question's own words ask for, by rules."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from rag.filters import parse_where
from rag.indexes import fields_of
from rag.types import Document
from ragline_recipes.read_filters.known import Known, Ordinary
from ragline_recipes.read_filters.rules import read_filters
from ragline_recipes.read_filters.spans import written_span
from ragline_recipes.read_filters.words import WORDS, together
from tests.cpu_time import least_cpu_s

DOCUMENTS: tuple[dict[str, Any], ...] = (
    {"author": "John Smith", "year": 2019, "source": "hr/leave.pdf", "program": "gunicorn", "version": "19.1.0"},
    {
        "author": "Smith, J. M.",
        "year": 2021,
        "source": "hr/new/start.pptx",
        "program": "scikit-learn",
        "version": "1.5.2",
    },
    {"author": "Young", "year": 2018, "source": "it/x.xlsx", "program": "for", "version": "2"},
    {"author": ["Pooch, U.", "Gerard, J."], "year": 2018, "source": "it/y.md", "program": "for", "version": "2"},
    {"author": "Prieve, B.", "year": 2018, "source": "it/z.PDF", "program": "for", "version": "2"},
)
OUTLETS: tuple[dict[str, Any], ...] = (
    {"source_": "Reuters", "date": "2024-05-01", "kind": "news"},
    {"source_": "The New York Times", "date": "2025-01-31T10:00", "kind": "opinion"},
    {"source_": "CDC", "date": "2023-02-28", "kind": "news"},
)


@cache
def known_of(kind: str) -> Known:
    text = "the young fox went home for good and saw nature. See www.cdc.gov and e-mail us."
    given = {"documents": DOCUMENTS, "outlets": OUTLETS}[kind]
    ordinary = Ordinary()
    documents = [Document(doc_id=str(n), text=text, metadata=each) for n, each in enumerate(given)]
    for document in documents:
        ordinary.look(document.text)
    return Known(fields_of(documents), ordinary)


def read(question: str, kind: str = "documents") -> dict[str, Any]:
    return {each.field: each.where for each in read_filters(question, known_of(kind), together())}


def where(**fields: Any) -> dict[str, Any]:
    return {name: parse_where({name: value}) for name, value in fields.items()}


SMITHS = ["John Smith", "Smith, J. M."]


@pytest.mark.parametrize(
    ("question", "filters"),
    [
        ("what did Smith write since 2019 about wings", where(author=SMITHS, year={"gte": 2019})),
        ("papers from 2020 on wings", where(year={"gte": 2020})),
        ("papers published before 2021", where(year={"lt": 2021})),
        ("papers from before 2021", where(year={"lt": 2021})),
        ("reports between 2018 and 2020", where(year={"gte": 2018, "lte": 2020})),
        ("reports between 2020 and 2018", where(year={"gte": 2018, "lte": 2020})),
        ("articles from 2018 to 2020", where(year={"gte": 2018, "lte": 2020})),
        ("reports dated 2019 or later", where(year={"gte": 2019})),
        ("articles after 2019", where(year={"gt": 2019})),
        ("articles after March 2019", where(year={"gte": 2019})),
        ("articles up to 2019 or so", where(year={"lte": 2019})),
        ("published in 2019: wings", where(year={"gte": 2019, "lte": 2019})),
        ("Welche Artikel erschienen vor 2020?", where(year={"lt": 2020})),
        (
            "Was schrieb Smith zwischen 2018 und 2020 über Flügel?",
            where(author=SMITHS, year={"gte": 2018, "lte": 2020}),
        ),
        ("Berichte von Smith seit März 2019", where(author=SMITHS, year={"gte": 2019})),
        ("Dateien ab 2020 über Flügel", where(year={"gte": 2020})),
        ("John Smith's papers", where(author=SMITHS)),
        ("the paper that Smith wrote on wings", where(author=SMITHS)),
        ("articles written either by Prieve or Udo Pooch", where(author=["Prieve, B.", "Pooch, U."])),
        ("papers by J. Gerard", where(author="Gerard, J.")),
        ("by author Young", where(author="Young")),
        ("the gunicorn program", where(program="gunicorn")),
        ("the program gunicorn and version 1.5.2", where(program="gunicorn", version="1.5.2")),
        ("leave, from the folder hr", where(source={"prefix": "hr/"})),
        ("Was steht im Ordner new?", where(source={"prefix": "hr/new/"})),
        ("in the file leave.pdf", where(source="hr/leave.pdf")),
        ("slides about starting", where(source={"glob": "*.pptx"})),
        ("what is in our slides on starting?", where(source={"glob": "*.pptx"})),
        ("Tabellen über Löhne", where(source={"glob": "*.xlsx"})),
    ],
)
def test_what_a_question_asks_for_is_read(question: str, filters: dict[str, Any]) -> None:
    found = read(question)
    assert set(found) == set(filters)
    for name, one in filters.items():
        assert found[name] == one


def test_files_of_a_type_are_read_however_their_endings_are_written() -> None:
    assert read("PDFs about leave")["source"] == parse_where(
        {"or": [{"source": {"glob": "*.pdf"}}, {"source": {"glob": "*.PDF"}}]}
    )


@pytest.mark.parametrize(
    "question",
    [
        *("what happened since 2019?", "How many people died in 2019?", "Who won between 2018 and 2020?", "until 2019"),
        *(
            "papers about Smith",
            "Smith's theorem",
            "the theorem by Smith",
            "Who is John Smith?",
            "Young",
            "papers by Young",
        ),
        *(
            "young people since 2019",
            "articles by Gerard Hoffnung",
            "articles by Smith or others",
            "papers by Peter Smith",
        ),
        *("how do I export a pdf", "slides down the hill", "a spreadsheet of what", "tabellen"),
        *(
            "the year since 2019",
            "Will he file a lawsuit before July 2021?",
            "booked before 2021 on the date of 2019-05-01",
        ),
        *(
            "gunicorn",
            "is it for a program",
            "version",
            "the folder",
            "papers from 20190",
            "papers from the 1900s",
            "papers 2019",
            "",
        ),
        *(
            "папки с 2019",
            "论文 2019",
            "papers from 0000",
            "papers since 2019 " + "and wings " * 40,
            "papers since 2019" + " " * 2_000 + "x",
        ),
    ],
)
def test_what_nobody_meant_as_a_filter_is_none(question: str) -> None:
    assert read(question) == {}


@pytest.mark.parametrize(
    ("question", "filters"),
    [
        ("articles from Reuters since May 2024", where(source_="Reuters", date={"gte": "2024-05-01"})),
        ("What did the New York Times publish on this?", where(source_="The New York Times")),
        ("Is it contagious according to CDC", where(source_="CDC")),
        ("news from 5 March 2024 or later", where(date={"gte": "2024-03-05"})),
        ("news since March 5th, 2024", where(date={"gte": "2024-03-05"})),
        ("news since 2024-03-05", where(date={"gte": "2024-03-05"})),
        ("news since 2024-03-05T10:30:00Z", where(date={"gte": "2024-03-05"})),
        ("news after 2023-02", where(date={"gt": "2023-02-28"})),
        ("news before February 2024", where(date={"lt": "2024-02-01"})),
        ("reports of kind opinion", where(kind="opinion")),
        ("kind opinion: taxes", where(kind="opinion")),
        ("Who works at Reuters in the news?", {}),
    ],
)
def test_dates_and_outlets_are_read(question: str, filters: dict[str, Any]) -> None:
    found = read(question, "outlets")
    assert found == filters


def test_a_field_with_more_values_than_are_remembered_is_known_and_bounded() -> None:
    documents = (Document(doc_id=str(n), text="", metadata={"author": f"Person{n}, A."}) for n in range(10_050))
    known = Known(fields_of(documents), Ordinary())
    assert known.bounded == ["author"]
    assert [each.field for each in read_filters("papers by Person77", known, together())] == ["author"]
    assert read_filters("papers by Person10049", known, together()) == []


def test_values_are_text_and_no_pattern() -> None:
    values = ['O"Brien\\', "a" * 5_000, "(a+)+$", "", "  ", "x" * 90 + ".pdf", "\ud800", "ＡＢＣ", "'; drop"]
    documents = [
        Document(doc_id=str(n), text="", metadata={"author": each, "source": f"{each}/f.pdf"})
        for n, each in enumerate(values)
    ]
    known = Known(fields_of(documents), Ordinary())
    [found] = read_filters('papers by O"Brien\\', known, together())
    assert found.where == parse_where({"author": 'O"Brien\\'})
    for question in (*values, *(f"papers by {value[:900]} since 2019" for value in values)):
        read_filters(question, known, together())


def test_a_long_question_takes_no_time() -> None:
    def read() -> None:
        for question in ("by " * 300, "papers by Smith and " * 12, "in the " * 30, "1999 to " * 30, "a" * 100_000):
            read_filters(question, known_of("documents"), together())

    assert least_cpu_s(read, enough=2) <= 2


def test_a_year_of_a_text_is_one_of_a_calendar() -> None:
    assert written_span("2023-02-31") is not None
    assert written_span("2023-02-31").last == "2023-02-28"
    assert [written_span(text) for text in ("", "2023-13", "23", "2023-00", "2023-1", "9999")] == [None] * 6


def test_every_language_has_all_words_in_lower_case() -> None:
    for language, words in WORDS.items():
        for name in vars(words):
            value = getattr(words, name)
            assert value, f"{language} has no {name}"
            for phrase in value:
                for part in phrase if isinstance(phrase, tuple) else (phrase,):
                    assert part == part.casefold() == " ".join(part.split()) != "", (language, name, part)


def test_words_of_one_language_alone() -> None:
    assert read_filters("Berichte seit 2019", known_of("documents"), together(("en",))) == []
