"""Documents of several formats with pictures and tables of which tests know what stands in them."""

from __future__ import annotations

import io
import zipfile
from base64 import b64encode
from collections.abc import Mapping
from xml.sax.saxutils import escape

import docx
from docx.shared import Pt

OPEN = "urn:oasis:names:tc:opendocument:xmlns"
ODF = " ".join(
    f'xmlns:{short}="{OPEN}:{long}:1.0"'
    for short, long in (
        ("office", "office"),
        ("text", "text"),
        ("table", "table"),
        ("draw", "drawing"),
        ("svg", "svg-compatible"),
        ("presentation", "presentation"),
    )
)
ODF += ' xmlns:xlink="http://www.w3.org/1999/xlink"'
PARTS = [["part", "price", "note"], ["valve", "-3.50", "=1+1"], ["pump", "20", "<b>new</b>"]]
"""A table: a price that is a number, a cell that a spreadsheet would run, and one that a browser would."""


def packed(parts: Mapping[str, str | bytes]) -> bytes:
    """A zip archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return file.getvalue()


def cells(rows: list[list[str]], row: str, cell: str) -> str:
    """Rows and cells as elements of these names; `{}` stands for a text in a cell."""
    return "".join(f"<{row}>{''.join(cell.format(escape(text)) for text in each)}</{row}>" for each in rows)


def data_uri(data: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{b64encode(data).decode()}"


def web(*parts: str) -> bytes:
    """A page of HTML."""
    return f"<html><head><title>Pumps</title></head><body>{''.join(parts)}</body></html>".encode()


def web_table(rows: list[list[str]] = PARTS, *, caption: str = "") -> str:
    """A table of HTML, of which the first row names the columns."""
    head, body = cells(rows[:1], "tr", "<th>{}</th>"), cells(rows[1:], "tr", "<td>{}</td>")
    said = f"<caption>{caption}</caption>" if caption else ""
    return f"<table>{said}<thead>{head}</thead><tbody>{body}</tbody></table>"


def odf(body: str, pictures: Mapping[str, bytes] | None = None, *, kind: str = "text") -> bytes:
    """A file of OpenDocument."""
    inside = f"<office:body><office:{kind}>{body}</office:{kind}></office:body>"
    content = f"<office:document-content {ODF}>{inside}</office:document-content>"
    return packed({"content.xml": content, **{f"Pictures/{name}": data for name, data in (pictures or {}).items()}})


def odf_table(rows: list[list[str]] = PARTS) -> str:
    """A table of OpenDocument with a header row, and the empty rows below it that programs write."""
    cell = "<table:table-cell><text:p>{}</text:p></table:table-cell>"
    head, body = cells(rows[:1], "table:table-row", cell), cells(rows[1:], "table:table-row", cell)
    none = '<table:table-cell table:number-columns-repeated="16384"/>'
    empty = f'<table:table-row table:number-rows-repeated="1048576">{none}</table:table-row>'
    return f"<table:table><table:table-header-rows>{head}</table:table-header-rows>{body}{empty}</table:table>"


def framed(name: str, *, title: str = "", href: str = "") -> str:
    """A picture of OpenDocument."""
    said = f"<svg:title>{title}</svg:title>" if title else ""
    return f'<draw:frame><draw:image xlink:href="{href or f"Pictures/{name}"}"/>{said}</draw:frame>'


def book(chapters: Mapping[str, bytes], pictures: Mapping[str, bytes]) -> bytes:
    """An EPUB whose chapters lie in a folder, and are read in the order of the names here, not of its list."""
    items = "".join(
        f'<item id="{name}" href="text/{name}.xhtml" media-type="application/xhtml+xml"/>' for name in sorted(chapters)
    )
    order = "".join(f'<itemref idref="{name}"/>' for name in chapters)
    listing = (
        f'<package xmlns="http://www.idpf.org/2007/opf"><manifest>{items}</manifest><spine>{order}</spine></package>'
    )
    container = '<container><rootfiles><rootfile full-path="OEBPS/book.opf"/></rootfiles></container>'
    parts: dict[str, str | bytes] = {"META-INF/container.xml": container, "OEBPS/book.opf": listing}
    parts |= {f"OEBPS/text/{name}.xhtml": data for name, data in chapters.items()}
    return packed(parts | {f"OEBPS/images/{name}": data for name, data in pictures.items()})


def word_table(rows: list[list[str]] = PARTS, *, caption: str = "Table 1: parts and prices") -> bytes:
    """A Word file with a paragraph, a table whose first row is bold, and a paragraph."""
    made = docx.Document()
    made.styles["Normal"].font.size = Pt(11)
    made.add_paragraph(caption)
    table = made.add_table(rows=len(rows), cols=len(rows[0]))
    for place, row in enumerate(rows):
        for cell, text in zip(table.rows[place].cells, row, strict=True):
            cell.paragraphs[0].add_run(text).bold = True if place == 0 else None
    made.add_paragraph("Order them by post.")
    file = io.BytesIO()
    made.save(file)
    return file.getvalue()
