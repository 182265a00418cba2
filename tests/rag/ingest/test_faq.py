"""Pages that declare schema.org's FAQPage, and pages that only say so."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rag.indexing import build_index
from rag.ingest import ParsedDocument, html
from rag.ingest.faq import MOST
from retrievers.index.directory import LocalIndex
from tests.rag.ingest.conftest import Noted

BODY = "<main><h1>Help</h1><p>Ask us.</p><h2>May I return it?</h2><p>Within 30 days.</p></main>"


def question(name: Any = "May I return it?", answer: Any = "Within 30 days.", **more: Any) -> dict[str, Any]:
    return {"@type": "Question", "name": name, "acceptedAnswer": {"@type": "Answer", "text": answer}, **more}


def page(data: Any, *, body: str = BODY, lang: str = "") -> str:
    text = data if isinstance(data, str) else json.dumps(data).replace("</", "<\\/")
    of = f' lang="{lang}"' if lang else ""
    return f'<html{of}><head><script type="application/ld+json">{text}</script></head><body>{body}</body></html>'


def faq(*questions: Any, **more: Any) -> dict[str, Any]:
    return {"@context": "https://schema.org", "@type": "FAQPage", "mainEntity": list(questions), **more}


@pytest.fixture
def read(notes: Noted) -> Callable[[str], list[ParsedDocument]]:
    return lambda text: html.parse(text.encode(), "help.html", notes)


Read = Callable[[str], list[ParsedDocument]]


def test_each_question_is_a_document_and_the_page_keeps_what_it_says_beside_them(read: Read, notes: Noted) -> None:
    rest, first, second = read(page(faq(question(), question("How?", "<p>By post.</p><ul><li>Box it<li>Send it</ul>"))))
    assert (rest.doc_id, rest.title, rest.text) == ("help.html", "Help", "Help\n\nAsk us.")
    assert (first.doc_id, first.title, first.text) == ("help.html:1", "May I return it?", "Within 30 days.")
    assert (second.doc_id, second.title, second.text) == ("help.html:2", "How?", "By post.\n\n- Box it\n- Send it")
    assert notes == []


def test_a_page_of_nothing_else_is_its_questions_alone(read: Read) -> None:
    (only,) = read(page(faq(question()), body="<p>May I return it?</p><p>Within 30 days.</p>"))
    assert only.doc_id == "help.html:1"


def test_what_the_page_shows_in_other_paragraphs_than_it_declares_is_not_said_twice(read: Read) -> None:
    shown = "<h1>Help</h1><h2>How?</h2><p>Box it.</p><p>Send it. </p><h2>Else</h2><p>Box it. Call us.</p>"
    rest, only = read(page(faq(question("How?", "Box it. Send it.")), body=shown))
    assert (rest.text, only.text) == ("Help\n\nElse\n\nBox it. Call us.", "Box it. Send it.")


@pytest.mark.parametrize(
    "data",
    [
        [faq(question())],
        {"@graph": [{"@type": "WebPage"}, faq(question())]},
        {"@type": "WebPage", "mainEntity": faq(question())},
        {"@type": ["WebPage", "https://schema.org/FAQPage"], "mainEntity": question()},
        {"@graph": [faq({"@id": "#q"}), {"@id": "#q", **question()}]},
        {"@type": "FAQPage", "mainEntity": {**question(), "acceptedAnswer": [{"text": "Within 30 days."}]}},
        faq(question(), question("MAY I return it?")),
        faq(question("<b>May</b> I&nbsp;return it?", "&lt;p&gt;Within 30 days.&lt;/p&gt;")),
        faq(question(answer="Within <script>alert(1)</script>30 days.")),
    ],
)
def test_json_ld_comes_in_many_shapes(read: Read, notes: Noted, data: Any) -> None:
    _, only = read(page(data))
    assert (only.title, only.text) == ("May I return it?", "Within 30 days.")
    assert notes == []


def test_the_language_is_that_of_the_question_or_of_faq_or_of_page(read: Read) -> None:
    data = faq(question(inLanguage="pl"), question("b"), inLanguage="de-AT")
    assert [each.metadata.get("lang") for each in read(page(data, lang="en"))] == [None, "pl", "de-AT"]
    assert read(page(faq(question()), lang="en"))[1].metadata["lang"] == "en"
    assert (
        "lang" not in read(page(faq(question(inLanguage={"@type": "Language"})), lang="English, of course"))[1].metadata
    )


MICRODATA = """<html lang=nl><body><h1>Help</h1><div itemscope itemtype="https://schema.org/FAQPage">
<div itemscope itemprop="mainEntity" itemtype="https://schema.org/Question"><button itemprop="name">Mag het terug?</button>
<div itemscope itemprop="acceptedAnswer" itemtype="https://schema.org/Answer" hidden>
<span itemprop="author" itemscope><span itemprop="name">Jan</span></span>
<div itemprop="text"><p>Binnen 30 dagen.</p><ul><li>In de doos</ul></div></div></div></div></body></html>"""


def test_microdata_is_read_even_where_it_is_folded_away(read: Read, notes: Noted) -> None:
    rest, only = read(MICRODATA)
    assert (only.title, only.text) == ("Mag het terug?", "Binnen 30 dagen.\n\n- In de doos")
    assert (only.metadata["lang"], rest.text, notes) == ("nl", "Help", [])


DEEP = '{"@type":"FAQPage","mainEntity":' + "[" * 100_000
NESTED = '<div itemscope itemprop="mainEntity" itemtype="https://schema.org/Question"><i itemprop=name>q</i>'
SAME = {"@graph": [faq(*[{**question(f"q{n}"), "acceptedAnswer": {"@id": "#a"}} for n in range(99)])]}
SAME["@graph"].append({"@id": "#a", "text": "x" * 100_000})


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (
            page('{"@type": "FAQPage", "mainEntity": ['),
            "JSON-LD, script 1: not JSON: Expecting value: line 1 column 37",
        ),
        (page(DEEP), "JSON-LD, script 1: nested too deep"),
        (page(faq()), "JSON-LD, script 1: it has no question"),
        (page({"@type": "FAQPage"}), "JSON-LD, script 1: it has no question"),
        (page(faq(question(), "May I?")), "JSON-LD, script 1, question 2: not a Question"),
        (page(faq({"@type": "Product", "name": "Bicycle", "offers": {"price": 9}})), "question 1: not a Question"),
        (page(faq({**question(), "@type": "Article"})), "JSON-LD, script 1, question 1: not a Question"),
        (page({"@type": "FAQPage", "mainEntity": "May I?"}), "JSON-LD, script 1, question 1: not a Question"),
        (page(faq({"@id": "#nowhere"})), "question 1: not a Question"),
        (page(faq(question(), question(name=7))), "question 2: its name is no text"),
        (page(faq(question(name="<b> </b>"))), "question 1: its name is no text"),
        (page(faq(question(), question(answer=["a", "b"]))), "question 2: its answer is no text"),
        (page(faq(question(answer=" "))), "question 1: its answer is no text"),
        (page(faq({"@type": "Question", "name": "Why?"})), "question 1: it has no answer"),
        (page(faq(*map(question, map(str, range(10_000))))), f"10,000 questions, above the limit of {MOST:,} a page"),
        (page(SAME), "its answers name the same text again and again"),
        (
            '<div itemscope itemtype="http://schema.org/FAQPage"><p>Within 30 days.</div>',
            "microdata: it has no question",
        ),
        (
            f'<div itemscope itemtype="http://schema.org/FAQPage">Within 30 days.{NESTED.replace("Question", "Product")}',
            "microdata, question 1: not a Question",
        ),
        (
            f'<div itemscope itemtype="http://schema.org/FAQPage">{NESTED}<p itemprop=acceptedAnswer>Within 30 days.',
            "question 1: its answer is no text",
        ),
        (
            '<div itemscope itemtype="http://schema.org/FAQPage"><p itemprop=mainEntity>Within 30 days.<div itemscope',
            "microdata, question 1: not a Question",
        ),
        (
            f'<div itemscope itemtype="http://schema.org/FAQPage">Within 30 days.{NESTED}',
            "question 1: it has no answer",
        ),
        (
            f'<div itemscope itemtype="http://schema.org/FAQPage">Within 30 days.{NESTED * 5_000}',
            "question within a question",
        ),
    ],
)
def test_a_page_that_is_none_is_read_as_any_other_and_the_note_says_where(
    read: Read, notes: Noted, text: str, where: str
) -> None:
    begun = time.process_time()
    (document,) = read(text)
    assert time.process_time() - begun < 20
    assert document.doc_id == "help.html"
    assert "Within 30 days." in document.text
    (note,) = [reason for reason, lost in notes if not lost]
    assert note.startswith("declares a schema.org FAQPage that is none (")
    assert where in note
    assert note.endswith("read as an ordinary page")


def test_other_declarations_are_nobodys_business(read: Read, notes: Noted) -> None:
    for data in ("{broken", {"@type": "Product"}, {"@type": "QAPage", "mainEntity": question()}):
        (document,) = read(page(data))
        assert document.doc_id == "help.html"
    assert notes == []


def test_an_answer_without_words_is_no_document(read: Read, notes: Noted) -> None:
    documents = read(page(faq(question(), question("Where?", "<img src=map.png>"))))
    assert [document.doc_id for document in documents] == ["help.html", "help.html:1"]
    assert notes == [("1 questions whose answer has no words are no documents; first: 'Where?'", False)]


def test_a_question_is_found_as_a_passage_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "help.html").write_text(page(faq(question(), question("Who pays?", "You do.")), lang="en"))
    report = build_index(tmp_path / "help.html", tmp_path / "index", legs=["lexical"])
    assert (report.n_documents, report.problems) == (3, ())
    with LocalIndex.open(tmp_path / "index") as index:
        titles = [(document.parent, document.title, document.metadata.get("lang")) for document in index.documents]
    assert titles[1:] == [("help.html:1", "May I return it?", "en"), ("help.html:2", "Who pays?", "en")]
