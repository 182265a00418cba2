"""What each parser makes of a file of its kind."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import docx
import pytest
from docx.oxml import parse_xml

from rag.ingest import ParsedDocument, code, html, json_rows, markdown, plain, tables
from rag.ingest import docx as word
from rag.ingest import pdf as pdf_parser
from rag.ingest.types import ReadError

from .conftest import Noted


def _blocks(document: ParsedDocument) -> list[tuple[str, tuple[str, ...]]]:
    return [(document.text[block.start : block.end], block.headings) for block in document.blocks]


def _markdown(text: str, notes: Noted) -> ParsedDocument:
    return next(markdown.parse(text.encode(), "guides/on-call_rules.md", notes))


def _html(body: str, notes: Noted) -> ParsedDocument:
    return html.parse(body.encode(), "page.html", notes)[0]


def test_plain_text_is_paragraphs_titled_by_the_file(notes: Noted) -> None:
    (document,) = plain.parse(b"One\nline.\n \n\nTwo.\n", "guides/on-call_rules.txt", notes)
    assert document.title == "on call rules"
    assert document.doc_id == document.metadata["source"] == "guides/on-call_rules.txt"
    assert _blocks(document) == [("One\nline.", ()), ("Two.", ())]


def test_markdown_keeps_heading_paths(notes: Noted) -> None:
    document = _markdown("# Top\nintro\n## A\nx\n### B\ny\n## C\nz", notes)
    assert document.title == "Top"
    assert _blocks(document) == [
        ("Top", ("Top",)),
        ("intro", ("Top",)),
        ("A", ("Top", "A")),
        ("x", ("Top", "A")),
        ("B", ("Top", "A", "B")),
        ("y", ("Top", "A", "B")),
        ("C", ("Top", "C")),
        ("z", ("Top", "C")),
    ]


def test_markdown_is_read_as_its_words(notes: Noted) -> None:
    document = _markdown(
        "A *b* `c` [link](http://x.example/y) ![alt](z.png)<br>next  \nend <b>bold</b> &amp; <!-- no -->", notes
    )
    assert document.text == "A b c link alt\nnext\nend bold & "[:-1]


def test_markdown_lists_keep_their_marks(notes: Noted) -> None:
    document = _markdown("Do:\n\n3. one\n4. two\n   - inner\n\n- last", notes)
    assert document.text == "Do:\n\n3. one\n4. two\n- inner\n- last"


def test_markdown_tables_are_read_row_by_row_with_their_columns(notes: Noted) -> None:
    document = _markdown("| Day | Open |\n|---|---|\n| Friday | 8:30 |\n| Sunday | |", notes)
    assert document.text == "Day: Friday; Open: 8:30\nDay: Sunday"
    assert document.blocks[0].lines


def test_markdown_code_stays_as_it_is(notes: Noted) -> None:
    document = _markdown("Run:\n```sh\n  # not a heading\n\n  make\n```", notes)
    assert _blocks(document) == [("Run:", ()), ("  # not a heading\n\n  make", ())]


def test_markdown_html_blocks_lose_their_tags(notes: Noted) -> None:
    assert _markdown("<p align='center'>Hello <i>you</i></p>\n\n<!-- secret -->\n\nx", notes).text == "Hello you\n\nx"


def test_front_matter_gives_title_and_metadata(notes: Noted) -> None:
    document = _markdown("---\ntitle: Leave\nyear: 2026\ntags: [a]\nsource: x\n---\n# Other\n", notes)
    assert document.title == "Leave"
    assert document.metadata == {"year": 2026, "source_": "x", "source": "guides/on-call_rules.md"}
    assert document.text == "Other"


@pytest.mark.parametrize("front", ["a: [", "- a", "a: &a [*a]", "x: 2026-99-99"])
def test_front_matter_that_is_none_is_text(front: str, notes: Noted) -> None:
    document = _markdown(f"---\n{front}\n---\nbody", notes)
    assert "body" in document.text
    assert set(document.metadata) == {"source"}


def test_html_is_its_main_part_without_scripts_and_navigation(notes: Noted) -> None:
    document = _html(
        "<title>Site - Page</title><nav>menu</nav><main><h1>Page</h1><script>evil()</script><p>One <b>two</b>\n three"
        "<br>four</p><p hidden>no</p>loose<div>inner</div>after</main><footer>foot</footer>",
        notes,
    )
    assert document.title == "Page"
    assert document.text == "Page\n\nOne two three\nfour\n\nloose\n\ninner\n\nafter"


def test_html_without_a_main_part_loses_only_its_edges(notes: Noted) -> None:
    edges = "<aside>ad</aside><footer>f</footer><div role='navigation'>next</div><div class='sphinxsidebar'>index</div>"
    document = _html(f"<title>T</title><body><h1>A</h1>x<h1>B</h1>y{edges}</body>", notes)
    assert document.title == "T"
    assert _blocks(document) == [("A", ("A",)), ("x", ("A",)), ("B", ("B",)), ("y", ("B",))]


def test_html_lists_tables_and_listings(notes: Noted) -> None:
    document = _html(
        "<p>Do</p><ul><li>one</li><li>two</li></ul><table><tr><th>A<th>B</tr><tr><td>1<td>2</table>"
        "<table><tr><td>x<td>y</tr></table><pre>  a\n    b</pre>",
        notes,
    )
    assert document.text == "Do\n\n- one\n- two\n\nA: 1; B: 2\n\nx | y\n\n  a\n    b"


def test_html_terms_with_much_to_say_are_headings_until_their_list_ends(notes: Noted) -> None:
    answer = "It may be used once in a while, and then it has to rest. " * 4
    page = (
        f"<h1>Questions</h1><dl><dt>It does not print</dt>\n<dd><p>{answer}</p><p>Wait.</p></dd>"
        f"<dt>It prints</dt><dd>Good.</dd></dl><p>Write to us.</p>"
        f"<details><summary>And in colour?</summary><p>{answer}</p></details>Bye"
    )
    document = _html(page, notes)
    under = {document.text[block.start : block.end][:12]: block.headings for block in document.blocks}
    term = ("Questions", "It does not print")
    assert under["It does not "] == under["Wait."] == term
    assert under["It prints"] == under["Good."] == under["Write to us."] == ("Questions",)
    assert under["And in colou"] == ("Questions", "And in colour?")
    assert under["Bye"] == ("Questions",)
    assert document.title == "Questions"


def test_html_tables_that_lay_out_the_page_are_read_through(notes: Noted) -> None:
    document = _html("<table><tr><td><h2>Head</h2>text<table><tr><td>1<td>2</table></td></tr></table>", notes)
    assert document.text == "Head\n\ntext\n\n1 | 2"


def test_html_is_decoded_as_it_declares(notes: Noted) -> None:
    page = '<meta charset="iso-8859-2"><p>žluťoučký</p>'
    assert html.parse(page.encode("iso-8859-2"), "a.html", notes)[0].text == "žluťoučký"
    wrong = '<meta charset="no-such">ok ž'
    assert html.parse(wrong.encode(), "a.html", notes)[0].text == "ok ž"
    assert "declares the encoding 'no-such'" in notes[0][0]


def test_html_character_references_cannot_smuggle_controls(notes: Noted) -> None:
    assert "\x1b" not in _html("<p>a&#27;[31m&#x9b;b</p>", notes).text


def test_html_external_entities_are_not_read(notes: Noted, tmp_path_factory: pytest.TempPathFactory) -> None:
    secret = tmp_path_factory.mktemp("x") / "secret.txt"
    secret.write_text("TOPSECRET")
    doctype = f'<!DOCTYPE html [<!ENTITY e SYSTEM "{secret.as_uri()}">]>'
    for start in (doctype, f'<?xml version="1.0"?>{doctype}'):
        assert "TOPSECRET" not in _html(f"{start}<html><body><p>a &e; b</p></body></html>", notes).text


def test_html_nested_without_end_does_not_exhaust_the_stack(notes: Noted) -> None:
    assert "deep" in _html("<div>" * 20_000 + "deep", notes).text


def test_pdf_pages_are_numbered(pdf: Callable[..., bytes], notes: Noted) -> None:
    data = pdf([["First page."], ["Second page."]], title="Two pages")
    (document,) = pdf_parser.parse(data, "a.pdf", notes)
    assert document.title == "Two pages"
    assert [(document.text[b.start : b.end], b.page) for b in document.blocks] == [
        ("First page.", 1),
        ("Second page.", 2),
    ]


def test_pdf_lines_broken_by_the_page_are_joined(pdf: Callable[..., bytes], notes: Noted) -> None:
    lines = [
        "This line is as wide as the whole page is and so it con-",
        "tinues on the next one, which is just as wide as it and",
        "ends here.",
        "A new paragraph begins with a line that is as wide, with",
        "- an item",
    ]
    (document,) = pdf_parser.parse(pdf([lines]), "a.pdf", notes)
    assert document.text.split("\n") == [
        "This line is as wide as the whole page is and so it continues on the next one, which is just as wide as it and"
        " ends here.",
        "",
        "A new paragraph begins with a line that is as wide, with",
        "",
        "- an item",
    ]


def test_pdf_outline_gives_headings(pdf: Callable[..., bytes], notes: Noted) -> None:
    data = pdf([["Intro", "text one"], ["more", "Rules", "text two"]], outline=[("Intro", 0), ("Rules", 1)])
    (document,) = pdf_parser.parse(data, "a.pdf", notes)
    assert document.title == "Intro"
    assert _blocks(document) == [
        ("Intro", ("Intro",)),
        ("text one", ("Intro",)),
        ("more", ("Intro",)),
        ("Rules", ("Rules",)),
        ("text two", ("Rules",)),
    ]


def test_pdf_headings_are_found_when_wrapped_or_numbered(pdf: Callable[..., bytes], notes: Noted) -> None:
    page = ["before", "2.1 Rules for the use", "of machines", "text", "Care", "more"]
    data = pdf([page], outline=[("Rules for the use of machines", 0), ("3 Care", 0), ("Nowhere", 0)])
    (document,) = pdf_parser.parse(data, "a.pdf", notes)
    assert _blocks(document) == [
        ("before", ("Nowhere",)),
        ("Rules for the use of machines", ("Rules for the use of machines",)),
        ("text", ("Rules for the use of machines",)),
        ("3 Care", ("3 Care",)),
        ("more", ("3 Care",)),
    ]


def test_pdf_outline_may_be_nested(pdf: Callable[..., bytes], notes: Noted) -> None:
    data = pdf([["Top", "one", "Inner", "two"]], outline=[("Top", 0), (">Inner", 0)])
    (document,) = pdf_parser.parse(data, "a.pdf", notes)
    assert _blocks(document)[-1] == ("two", ("Top", "Inner"))


def test_pdf_that_only_restricts_printing_is_read(pdf: Callable[..., bytes], notes: Noted) -> None:
    assert next(pdf_parser.parse(pdf([["open text"]], owner="o"), "a.pdf", notes)).text == "open text"


def test_pdf_tables_are_read_row_by_row(pdf: Callable[..., bytes], notes: Noted) -> None:
    rows = [("Course", "Length"), ("Lathe", "2 days"), ("Laser", "2 hours"), ("Paint", "1 day"), ("Forklift", "3 days")]
    cells = [(x, 700 - 20 * n, cell) for n, row in enumerate(rows) for x, cell in zip((60, 300), row, strict=True)]
    content = " ".join(
        f"q 1 0 0 1 {x} {y} cm BT 1 0 0 1 0 2 Tm /F1 11 Tf 14 TL ({cell}) Tj T* ET Q" for x, y, cell in cells
    )
    (document,) = pdf_parser.parse(pdf([content.encode()]), "a.pdf", notes)
    assert document.text.split("\n") == [" | ".join(row) for row in rows]


def test_pdf_that_needs_a_password_says_so(pdf: Callable[..., bytes], notes: Noted) -> None:
    with pytest.raises(ReadError, match="encrypted"):
        list(pdf_parser.parse(pdf([["secret"]], password="p"), "a.pdf", notes))


def test_scanned_pdf_says_that_it_needs_ocr(pdf: Callable[..., bytes], notes: Noted) -> None:
    with pytest.raises(ReadError, match="index it with --ocr"):
        list(pdf_parser.parse(pdf([[], []]), "a.pdf", notes))


def test_pdf_pages_without_text_are_told(pdf: Callable[..., bytes], notes: Noted) -> None:
    (document,) = pdf_parser.parse(pdf([["text"], []]), "a.pdf", notes)
    assert document.text == "text"
    assert notes == [("page 2 has no text: a scan?", True)]


def test_a_file_that_only_claims_to_be_a_pdf_is_refused(notes: Noted) -> None:
    with pytest.raises(ReadError, match="not a PDF"):
        list(pdf_parser.parse(b"hello", "a.pdf", notes))


def _docx(fill: Callable[[docx.document.Document], None]) -> bytes:
    document = docx.Document()
    fill(document)
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def test_word_keeps_headings_lists_and_tables_in_order(notes: Noted) -> None:
    def fill(document: docx.document.Document) -> None:
        document.add_heading("Handbook", 0)
        document.add_heading("Leave", 1)
        document.add_paragraph("Rest well.")
        document.add_paragraph("one", style="List Bullet")
        document.add_paragraph("two", style="List Bullet")
        table = document.add_table(rows=2, cols=2)
        for cell, text in zip(table._cells, ["Day", "Open", "Friday", "8:30"], strict=True):
            cell.text = text
        header = table.rows[0]._tr.get_or_add_trPr()
        header.append(
            parse_xml('<w:tblHeader xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"/>')
        )
        merged = document.add_table(rows=1, cols=2)
        merged.cell(0, 0).merge(merged.cell(0, 1)).text = "across"

    (document,) = word.parse(_docx(fill), "a.docx", notes)
    assert document.title == "Handbook"
    assert document.text == "Handbook\n\nLeave\n\nRest well.\n\n- one\n- two\n\nDay: Friday; Open: 8:30\n\nacross"
    assert document.blocks[-1].headings == ("Leave",)


def test_word_title_falls_back_to_the_properties(notes: Noted) -> None:
    def fill(document: docx.document.Document) -> None:
        document.core_properties.title = "From properties"
        document.add_paragraph("text")

    assert word.parse(_docx(fill), "a.docx", notes)[0].title == "From properties"


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"hello", "not a zip archive"), (bytes.fromhex("d0cf11e0a1b11ae1") + bytes(512), "encrypted, or a .doc")],
)
def test_what_is_no_word_file_is_refused(data: bytes, message: str, notes: Noted) -> None:
    with pytest.raises(ReadError, match=message):
        word.parse(data, "a.docx", notes)


def test_code_keeps_its_text_and_names_definitions(notes: Noted) -> None:
    source = (
        "import os\n\n\nclass Wheel:\n    spokes = 32\n\n    def true(self):\n        a = 1\n\n        return a\n\n\n"
        "def main():\n    pass\n\n\nmain()\n"
    )
    (document,) = code.parse(source.encode(), "src/wheel.py", notes)
    assert document.text == source
    assert document.title == "src/wheel.py"
    assert document.metadata["code_language"] == "python"
    assert _blocks(document) == [
        ("import os", ()),
        ("class Wheel:\n    spokes = 32", ("Wheel",)),
        ("    def true(self):\n        a = 1\n\n        return a", ("Wheel", "true")),
        ("def main():\n    pass", ("main",)),
        ("main()", ()),
    ]


def test_csv_rows_are_documents(notes: Noted) -> None:
    data = 'id;Name;note;\nA 1;"Lathe; large";;x\n\nA 1;Jig;"two\nlines"\n'.encode("utf-8-sig")
    first, second = tables.parse(data, "list.csv", notes)
    assert (first.doc_id, second.doc_id) == ("list.csv:A 1", "list.csv:A 1~2")
    assert first.title == "list › Lathe; large"
    assert first.text == "id: A 1\nName: Lathe; large\ncolumn 4: x"
    assert second.text == "id: A 1\nName: Jig\nnote: two\nlines"
    assert first.metadata == {"id": "A 1", "Name": "Lathe; large", "column 4": "x", "source": "list.csv"}
    assert notes == [("1 ids appear again and were given a number; first: 'list.csv:A 1'", False)]


def test_csv_with_a_text_column_reads_that(notes: Noted) -> None:
    (document,) = tables.parse(b"title\tcontents\tyear\nRain\tIt rains.\t1999\n", "w.tsv", notes)
    assert (document.title, document.text) == ("Rain", "It rains.")
    assert document.metadata == {"title": "Rain", "year": "1999", "source": "w.tsv"}


@pytest.mark.parametrize("data", [b"a,b\n", b'a,b\n"never closed,1\n', b"\n\n"])
def test_what_is_no_table_is_refused(data: bytes, notes: Noted) -> None:
    with pytest.raises(ReadError):
        list(tables.parse(data, "a.csv", notes))


def test_csv_fields_may_be_long(notes: Noted) -> None:
    (document,) = tables.parse(b"text,x\n" + b"word " * 60_000 + b",1\n", "a.csv", notes)
    assert len(document.text) == 5 * 60_000 - 1


SENTENCE = "It came in three days and nothing was broken"


def test_models_read_the_first_rows_of_a_long_table_and_what_all_have_in_common(notes: Noted) -> None:
    rows = [f"{number},Berlin" for number in range(1_004)]
    rows[1_002] = f"1002,{SENTENCE}"
    documents = list(tables.parse("\n".join(["order,city", *rows]).encode(), "shop/orders.csv", notes))
    shared = [document.metadata.get("model_text") for document in documents]
    assert shared == [None] * 1_000 + ["orders: order, city"] * 2 + [None, "orders: order, city"]
    assert documents[-1].text == "order: 1003\ncity: Berlin"
    told = "of rows of short cells models read the first 1,000 of a file; all are found by words and fields"
    assert notes == [(told, False)]


def test_a_sentence_without_blanks_is_a_sentence(notes: Noted) -> None:
    rows = [*["北京市朝阳区建国路"] * 1_001, "货物三天后到达没有任何损坏质量也很好"]
    documents = list(tables.parse("\n".join(["said", *rows]).encode(), "a.csv", notes))
    assert [document.metadata.get("model_text") for document in documents[-2:]] == ["a: said", None]


def test_rows_with_a_text_of_their_own_are_read_one_by_one_however_many(notes: Noted) -> None:
    data = "text,city\n" + "so it is,Berlin\n" * 1_002
    documents = tables.parse(data.encode(), "a.csv", notes)
    assert not any("model_text" in document.metadata for document in documents)


def test_rows_of_json_are_rows_of_a_table(notes: Noted) -> None:
    data = json.dumps([{"order": number, "city": "Berlin"} for number in range(1_001)])
    documents = list(json_rows.parse(data.encode(), "orders.json", notes))
    assert [document.metadata.get("model_text") for document in documents[-2:]] == [None, "orders: order, city"]
