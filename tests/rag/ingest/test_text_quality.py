"""What surrounds a text and is no part of it: signs of links, running lines, scanned pages; and tables kept whole."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rag.ingest import ParsedDocument, chunk, word_spans
from rag.ingest import html as html_parser
from rag.ingest import markdown as markdown_parser
from rag.ingest import pdf as pdf_parser
from rag.ingest import rst as rst_parser
from rag.ingest.pdf import RunningLines
from rag.ingest.settings import ChunkSettings
from tests.rag.ingest.conftest import Noted


def headings(document: ParsedDocument) -> list[str]:
    return list(dict.fromkeys(name for block in document.blocks for name in block.headings))


@pytest.mark.parametrize(
    "inside",
    [
        'Install<a class="headerlink" href="#install" title="Link to this heading">¶</a>',
        'Install<a href="#install">#</a>',
        '<a href="#install">🔗</a> Install',
        'Install<a class="header-anchor" href="#install" aria-label="Permalink">\u200b</a>',
        "Install ¶",
        "Install #",
    ],
)
def test_html_headings_have_no_permalink_signs(inside: str, notes: Noted) -> None:
    (document,) = html_parser.parse(f"<h1>{inside}</h1><p>Run it.</p>".encode(), "a.html", notes)
    assert (document.title, headings(document), document.text) == ("Install", ["Install"], "Install\n\nRun it.")


def test_what_a_heading_says_stays(notes: Noted) -> None:
    page = (
        '<h2>C#</h2><p>a</p><h2>Issue #5</h2><p>b</p><h2><a href="#x">Linked words</a></h2><p>c</p><h2>#</h2><p>d</p>'
    )
    (document,) = html_parser.parse(page.encode(), "a.html", notes)
    assert headings(document)[:3] == ["C#", "Issue #5", "Linked words"]


@pytest.mark.parametrize(
    "line", ["## Install [¶](#install)", "## [#](#install) Install", "## Install 🔗", "## Install ##"]
)
def test_markdown_headings_have_none(line: str, notes: Noted) -> None:
    (document,) = markdown_parser.parse(f"{line}\n\nRun it.\n".encode(), "a.md", notes)
    assert headings(document) == ["Install"]


def test_restructured_text_headings_have_none(notes: Noted) -> None:
    (document,) = rst_parser.parse("Install ¶\n=========\n\nRun it.\n".encode(), "a.rst", notes)
    assert headings(document) == ["Install"]


def bodies(n: int) -> list[str]:
    return [f"The {word} frame is made of steel." for word in ["red", "blue", "green", "old", "new", "long"][:n]]


def test_headers_and_footers_of_pdf_pages_are_left_out_and_counted(pdf: Callable[..., bytes], notes: Noted) -> None:
    pages = [["ACME handbook", body, f"Page {n} of 4"] for n, body in enumerate(bodies(4), start=1)]
    (document,) = pdf_parser.parse(pdf(pages), "a.pdf", notes)
    assert document.text == "\n\n".join(bodies(4))
    assert [block.page for block in document.blocks] == [1, 2, 3, 4]
    assert notes == [("8 repeated headers and footers of pages left out", False)]


def test_two_pages_repeat_nothing_and_a_heading_of_the_outline_stays(pdf: Callable[..., bytes], notes: Noted) -> None:
    two = [["ACME handbook", body] for body in bodies(2)]
    (document,) = pdf_parser.parse(pdf(two), "a.pdf", notes)
    assert document.text.count("ACME handbook") == 2
    four = [["ACME handbook", body] for body in bodies(4)]
    (document,) = pdf_parser.parse(pdf(four, outline=[("ACME handbook", 0)]), "a.pdf", notes)
    assert document.text.count("ACME handbook") == 1
    assert headings(document) == ["ACME handbook"]


def test_lines_of_left_and_right_pages_and_pages_of_one_line() -> None:
    pages = [["left" if n % 2 else "right", "", f"word {'abcdef'[n]}", f"- {n} -"] for n in range(6)]
    running = RunningLines(pages)
    assert [running.without(page) for page in pages] == [["", f"word {'abcdef'[n]}"] for n in range(6)]
    assert running.removed == 12
    alike = [["same words"]] * 5
    assert [RunningLines(alike).without(page) for page in alike] == alike


def test_pages_without_text_are_named_and_counted(pdf: Callable[..., bytes], notes: Noted) -> None:
    list(pdf_parser.parse(pdf([["a"], [], ["b"], []]), "a.pdf", notes))
    assert notes == [("2 pages have no text: scans? Pages 2, 4", True)]


ROWS = [("steel", "heavy and cheap"), ("carbon", "light and dear"), ("wood", "warm and rare")] * 4


@pytest.mark.parametrize("kind", ["html", "head of cells", "markdown"])
def test_chunks_never_split_a_row_and_every_row_says_its_columns(kind: str, notes: Noted) -> None:
    if kind == "markdown":
        rows = "\n".join(f"| {a} | {b} |" for a, b in ROWS)
        [document] = markdown_parser.parse(f"| Frame | Ride |\n| --- | --- |\n{rows}\n".encode(), "a.md", notes)
    else:
        cell = "th" if kind == "html" else "td"
        head = f"<thead><tr><{cell}>Frame</{cell}><{cell}>Ride</{cell}></tr></thead>"
        rows = "".join(f"<tr><td>{a}</td><td>{b}</td></tr>" for a, b in ROWS)
        [document] = html_parser.parse(f"<table>{head}<tbody>{rows}</tbody></table>".encode(), "a.html", notes)
    chunks = chunk(document, settings=ChunkSettings(tokens=25, overlap=0), spans=word_spans)
    lines = [line for each in chunks for line in each.text.split("\n")]
    assert len(chunks) > 3
    assert lines == [f"Frame: {a}; Ride: {b}" for a, b in ROWS]
