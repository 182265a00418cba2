"""Tables that stand in documents: contents of their own, with the text around them, that run nowhere."""

from __future__ import annotations

import csv
import io
from typing import Any

import docx
import pytest

from plugins.media.tests.drawn import drawings, encoded
from plugins.media.tests.tabled import (
    PARTS,
    book,
    cells,
    data_uri,
    framed,
    odf,
    odf_table,
    web,
    web_table,
    word_table,
)
from plugins.media.tests.test_figures import NAMES, deck, read, told
from rag.reading import ParsedDocument
from ragline_media.figures import docx as docx_figures
from ragline_media.figures import epub, grid, html, odt, table
from ragline_media.figures import pptx as pptx_figures

DISC, FRAME = (encoded(each.picture(120)) for each in drawings(1)[:2])


def rows_in(document: ParsedDocument) -> list[list[str]]:
    [kept] = document.kept
    return table.rows_of(kept.data)


def test_a_table_of_a_word_file() -> None:
    [found], notes = read(docx_figures, word_table())
    assert (found.doc_id, found.text) == (
        "a/manual.x@table1",
        "Table 1: parts and prices\npart | price | note",
    )
    assert rows_in(found) == PARTS
    [(_, content)] = found.contents
    assert (content.kind, content.media_type, content.text) == ("table", "text/csv", "Table 1: parts and prices")
    assert content.metadata == {"rows": 3, "columns": 3, "header": True}
    assert (content.sha256, content.uri) == (found.kept[0].sha256, f"sha256:{content.sha256}")
    assert (found.metadata["parent"], found.metadata["table"], found.kept[0].thumbnail) == ("a/manual.x", 1, b"")
    assert notes == []


def test_merged_and_nested_cells_of_a_word_file() -> None:
    made = docx.Document()
    made.add_paragraph("Prices of the year")
    outer = made.add_table(rows=4, cols=3)
    for place, row in enumerate((["a", "b", "c"], ["d", "e", "f"], ["g", "h", "i"], ["j", "k", "l"])):
        for cell, text in zip(outer.rows[place].cells, row, strict=True):
            cell.text = text
    outer.cell(0, 0).merge(outer.cell(0, 1))
    outer.cell(1, 2).merge(outer.cell(2, 2))
    made.add_paragraph("A form")
    form = made.add_table(rows=2, cols=1)
    inner = form.cell(0, 0).add_table(rows=2, cols=2)
    for cell, text in zip([*inner.rows[0].cells, *inner.rows[1].cells], "wxyz", strict=True):
        cell.text = text
    file = io.BytesIO()
    made.save(file)
    found, _ = read(docx_figures, file.getvalue())
    assert [rows_in(each) for each in found] == [
        [["a b", "", "c"], ["d", "e", "f i"], ["g", "h", "f i"], ["j", "k", "l"]],
        [["w", "x"], ["y", "z"]],
    ]
    assert [each.text.split("\n")[0] for each in found] == ["Prices of the year", "A form"]
    assert not any(each.contents[0][1].metadata["header"] for each in found)


def test_a_table_of_a_slide() -> None:
    rows = cells(PARTS, "a:tr", "<a:tc><a:txBody><a:p><a:r><a:t>{}</a:t></a:r></a:p></a:txBody></a:tc>")
    drawn = f'<p:graphicFrame><a:tbl><a:tblPr firstRow="1"/>{rows}</a:tbl></p:graphicFrame>'
    said = "<p:sp><p:txBody><a:p><a:r><a:t>Prices</a:t></a:r></a:p></p:txBody></p:sp>"
    [found], _ = read(pptx_figures, deck(f"<p:sld {NAMES}><p:cSld><p:spTree>{said}{drawn}</p:spTree></p:cSld></p:sld>"))
    assert (found.text, found.metadata["page"]) == ("Prices\npart | price | note", 1)
    assert rows_in(found) == PARTS
    assert found.contents[0][1].metadata["header"]


def test_merged_cells_of_a_slide() -> None:
    def cell(text: str, more: str = "") -> str:
        return f"<a:tc{more}><a:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p></a:txBody></a:tc>"

    rows = "".join(
        f"<a:tr>{row}</a:tr>"
        for row in (
            cell("wide", ' gridSpan="2"') + cell("", ' hMerge="1"') + cell("high", ' rowSpan="2"'),
            cell("a") + cell("b") + cell("", ' vMerge="1"'),
        )
    )
    drawn = f"<p:graphicFrame><a:tbl>{rows}</a:tbl></p:graphicFrame>"
    [found], _ = read(pptx_figures, deck(f"<p:sld {NAMES}><p:cSld><p:spTree>{drawn}</p:spTree></p:cSld></p:sld>"))
    assert rows_in(found) == [["wide", "", "high"], ["a", "b", "high"]]


def test_pictures_and_tables_of_an_open_document() -> None:
    body = (
        "<text:h>Pumps</text:h><text:p>The pump stands in the cellar.</text:p>"
        f"<text:p>{framed('disc.png', title='A pump seen from above.')}</text:p>"
        f"<text:p>{framed('frame.png')}Figure 2: the valve.</text:p>"
        f"<text:p>{framed('away.png', href='http://127.0.0.1:9/x.png')}{framed('no.png', href='../../etc/passwd')}</text:p>"
        f"<text:p>Table 1: parts</text:p>{odf_table()}"
    )
    found, notes = read(odt, odf(body, {"disc.png": DISC, "frame.png": FRAME}))
    assert told(found) == [
        ("a/manual.x@figure1", "A pump seen from above", None),
        ("a/manual.x@figure2", "Figure 2: the valve.", None),
        ("a/manual.x@table1", "Table 1: parts\npart | price | note", None),
    ]
    assert rows_in(found[2]) == PARTS, "and not the million empty rows below"
    assert found[2].contents[0][1].metadata == {"rows": 3, "columns": 3, "header": True}
    assert notes == []


def test_cells_of_an_open_document_that_are_covered_or_repeated() -> None:
    def cell(text: str, more: str = "", name: str = "table-cell") -> str:
        return f"<table:{name}{more}><text:p>{text}</text:p></table:{name}>"

    covered = cell("", name="covered-table-cell")
    rows = "".join(
        f"<table:table-row{more}>{row}</table:table-row>"
        for more, row in (
            ("", cell("wide", ' table:number-columns-spanned="2"') + covered + cell("c")),
            ("", cell("high", ' table:number-rows-spanned="2"') + cell("x", ' table:number-columns-repeated="2"')),
            (' table:number-rows-repeated="2"', covered + cell("y") + cell("z")),
        )
    )
    [found], _ = read(odt, odf(f"<table:table>{rows}</table:table>"))
    assert rows_in(found) == [["wide", "", "c"], ["high", "x", "x"], ["high", "y", "z"], ["high", "y", "z"]]


def test_slides_of_open_documents_have_their_numbers() -> None:
    slide = "<draw:page><draw:frame><draw:text-box><text:p>{}</text:p></draw:text-box></draw:frame>{}</draw:page>"
    body = slide.format("Welcome", "") + slide.format(
        "The pump", framed("disc.png") + f"<draw:frame>{odf_table()}</draw:frame>"
    )
    found, _ = read(odt, odf(body, {"disc.png": DISC}, kind="presentation"))
    assert told(found) == [
        ("a/manual.x@figure1", "The pump", 2),
        ("a/manual.x@table1", "The pump\npart | price | note", 2),
    ]


def test_pictures_of_a_web_page_are_those_that_it_holds() -> None:
    page = web(
        "<p>The pump stands in the cellar.</p>",
        f'<figure><img alt="A pump." src="{data_uri(DISC)}"><figcaption>Seen from above</figcaption></figure>',
        f'<p>Open the valve first.</p><div><img src="{data_uri(FRAME)}"></div>',
        f'<nav><img src="{data_uri(encoded(drawings(1)[5].picture(120)))}"></nav>',
        '<img src="http://127.0.0.1:9/x.png"><img src="valve.png"><img src="file:///etc/passwd"><img>',
        f'<img src="{data_uri(b"<svg/>", "image/svg+xml")}"><img src="data:image/png;base64,@@@"><img src="data:,x">',
    )
    found, notes = read(html, page)
    assert told(found) == [
        ("a/manual.x@figure1", "A pump. Seen from above", None),
        ("a/manual.x@figure2", "Open the valve first.", None),
    ]
    assert notes == [
        "1 pictures in it are of a format that is not read here, too large or damaged",
        "3 pictures lie outside it: nothing is fetched for it, and no file is opened",
    ]


def test_tables_of_a_web_page() -> None:
    spans = (
        '<table><tr><td rowspan="2">Ä</td><td colspan="2">wide</td></tr><tr><td>x</td><td rowspan="9">deep</td></tr>'
        "<tr><td>y</td></tr></table>"
    )
    layout = f"<table><tr><td>menu</td></tr><tr><td>{web_table([['n'], ['1']])}</td></tr></table>"
    page = web(
        "<p>Prices of the year:</p>",
        web_table(caption="All <b>parts</b>"),
        f"<p>Table 2: spans</p>{spans}",
        "<table><tr><td>one cell</td></tr></table><table><tr><td>a</td><td>row</td></tr></table>",
        f"<p>Within another:</p>{layout}",
        "<table><tr><td><h2>News</h2></td></tr><tr><td>of today</td></tr></table>",
        "<p>Broken:</p><table><tr><td>u<td>v<tr><td>w</table>",
    )
    found, notes = read(html, page)
    assert [each.text for each in found] == [
        "All parts\npart | price | note",
        "Table 2: spans\nÄ | wide",
        "Within another:\nn",
        "Broken:\nu | v",
    ]
    assert [rows_in(each) for each in found] == [
        PARTS,
        [["Ä", "wide", ""], ["Ä", "x", "deep"], ["y", "", "deep"]],
        [["n"], ["1"]],
        [["u", "v"], ["w", ""]],
    ]
    assert [each.contents[0][1].metadata["header"] for each in found] == [True, False, True, False]
    assert notes == []


def test_pictures_and_tables_of_a_book_in_the_order_of_reading() -> None:
    chapters = {
        "two": web(f'<p>The pump</p><p><img src="../images/disc.png"/></p>{web_table()}'),
        "one": web('<p>The valve</p><p><img alt="x" src="../../../etc/passwd"/><img src="../images/frame.png"/></p>'),
    }
    found, notes = read(epub, book(chapters, {"disc.png": DISC, "frame.png": FRAME}))
    assert told(found) == [
        ("a/manual.x@figure1", "The pump", None),
        ("a/manual.x@table1", "The pump\npart | price | note", None),
        ("a/manual.x@figure2", "The valve", None),
    ]
    assert notes == ["1 pictures lie outside it: nothing is fetched for it, and no file is opened"]


def test_a_page_in_another_encoding_is_read_in_it() -> None:
    page = web("<p>Größe</p>", web_table([["Länge", "Wert"], ["Höhe", "3"]])).decode()
    data = page.replace("<head>", '<head><meta charset="iso-8859-1">').encode("iso-8859-1")
    [found], _ = read(html, data)
    assert found.text == "Größe\nLänge | Wert"
    for empty in (b"<!-- nothing -->", b"\x00", b"<table>", b"<table><tr></tr><tr></tr></table>"):
        assert read(html, empty) == ([], [])


def test_a_table_of_ten_thousand_rows_is_cut_and_told() -> None:
    rows = [["n", "square"], *([str(n), str(n * n)] for n in range(10_000))]
    [found], notes = read(html, web(web_table(rows)))
    assert rows_in(found) == rows[: table.MOST_ROWS]
    assert notes == ["table 1 is cut after 5,000 rows; all of it is in the text"]


LONG_ROW = f"<tr><td>{'b' * 900}</td></tr>"


@pytest.mark.parametrize(
    ("page", "shape"),
    [
        (f"<table><tr>{'<td>a</td>' * 5_000}</tr><tr><td>b</td></tr></table>", (2, 100)),
        ('<table><tr><td colspan="999999999">a</td><td>c</td></tr><tr><td>b</td></tr></table>', (2, 1)),
        ('<table><tr><td rowspan="999999999">a</td></tr><tr><td>b</td></tr></table>', (2, 2)),
        (f"<table><tr><td>{'a' * 5_000}</td></tr><tr><td>b</td></tr></table>", (2, 1)),
        ("<table><tr><td>" * 3_000, None),
        (f"<table>{LONG_ROW * 4_000}</table>", (2_219, 1)),
    ],
)
def test_what_no_table_needs_is_cut(page: str, shape: tuple[int, int] | None) -> None:
    found, _ = read(html, page.encode())
    shapes = [(len(rows), len(rows[0])) for rows in map(rows_in, found)]
    assert shapes == ([] if shape is None else [shape])
    assert all(len(cell) <= table.LONGEST_CELL for each in found for row in rows_in(each) for cell in row)


def test_repeated_rows_of_an_open_document_are_cut() -> None:
    cell = '<table:table-cell table:number-columns-repeated="16384"><text:p>x</text:p></table:table-cell>'
    row = f'<table:table-row table:number-rows-repeated="1048576">{cell}</table:table-row>'
    [found], notes = read(odt, odf(f"<table:table>{row}</table:table>"))
    assert (len(rows_in(found)), len(rows_in(found)[0])) == (5_000, 100)
    assert notes == ["table 1 is cut after 5,000 rows; all of it is in the text"]


def test_there_is_an_end_to_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    from ragline_media.figures import documents

    page = web(*[web_table([["n"], [str(n)]]) for n in range(4)])
    monkeypatch.setattr(documents, "MOST", 3)
    found, notes = read(html, page)
    assert (len(found), notes) == (3, ["more than 3 pictures or tables in it: the others are left out"])
    monkeypatch.setattr(documents, "MOST_BYTES", 20)
    found, notes = read(html, page)
    assert (len(found), notes) == (2, ["its tables have more than 20 bytes: the others are rows of its text alone"])


CELLS = [
    "=1+1",
    "+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "'=quoted",
    "''",
    "'n'",
    "＝1",
    "-5",
    "+3.50",
    "-1,234.5%",
    "a;=1",
    'say "=1"',
    "",
]


def test_a_spreadsheet_runs_nothing_and_what_was_read_is_given_back() -> None:
    data = table.csv_of([CELLS, ["x", "line\r\nend", "bell\x07"]])
    first, second = csv.reader(io.StringIO(data.decode(), newline=""))
    running = [cell for cell in first if cell[:1] in {*"=+-@＝＋－＠\t\r"} and cell]
    assert running == ["-5", "+3.50", "-1,234.5%"], "numbers alone"
    assert table.rows_of(data)[0] == CELLS
    assert second == ["x", "line end", "bell "]
    assert data.count(b"\n") == 2, "a row is a line"
    assert all(line.startswith(b'"') for line in data.splitlines()), "in any language's spreadsheet a cell is one"


def test_a_word_is_the_words_of_an_element_and_no_more() -> None:
    page: Any = html.tree_of(b"<p>a <b>b</b>c<br>d<script>e</script><!-- f --><span>g</span></p>")
    assert grid.text_of(page) == "a bc dg"
