"""Word files through python-docx: paragraphs, headings, lists and tables, in their order.

Page headers, notes and text boxes are left out.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

from rag.ingest.columns import NAME
from rag.ingest.layout import Layout
from rag.ingest.office import COMPOUND
from rag.ingest.types import DEFAULT_LIMITS, Note, ParsedDocument, ReadError
from rag.ingest.unpack import opened_zip

if TYPE_CHECKING:
    from docx.document import Document as Word
    from docx.table import Table
    from docx.text.paragraph import Paragraph

_HEADING = re.compile(r"heading (\d)$", re.IGNORECASE)


def parse(data: bytes, name: str, note: Note) -> list[ParsedDocument]:
    """One document, titled by its properties or by its paragraph of style Title.

    Raises:
        ReadError: not a Word file, encrypted, a zip bomb, or with a document type declaration.
    """
    from docx.table import Table

    word = _open(data)
    layout = Layout()
    title = ""
    for item in word.iter_inner_content():
        if isinstance(item, Table):
            _table(item, layout)
        elif item.style is not None and item.style.name == "Title" and not title:
            title = item.text
            layout.block(title)
        else:
            _paragraph(item, layout)
    layout.tell(note)
    return [layout.document(name, title=title or layout.first_heading or word.core_properties.title)]


def _open(data: bytes) -> Word:
    import docx

    if data.startswith(COMPOUND):
        raise ReadError("encrypted, or a .doc of before 2007; save it as .docx without a password")
    opened_zip(data, DEFAULT_LIMITS).close()
    word = docx.Document(io.BytesIO(data))
    if word.element.getroottree().docinfo.doctype:  # Word never writes one; entities are its only use
        raise ReadError("contains a document type declaration, which Word files must not have")
    return word


def _paragraph(paragraph: Paragraph, layout: Layout) -> None:
    level = _level(paragraph)
    if level:
        layout.heading(level, paragraph.text)
    elif _is_item(paragraph):
        layout.block(f"- {paragraph.text}" if paragraph.text.strip() else "", tight=True)
    else:
        layout.block(paragraph.text)


def _level(paragraph: Paragraph) -> int:
    """1 to 9 for a heading, by its style or the styles that is based on; else 0."""
    style: Any = paragraph.style
    for _ in range(10):
        if style is None:
            break
        if match := _HEADING.match(style.name or ""):
            return int(match[1])
        style = style.base_style
    return 0


def _is_item(paragraph: Paragraph) -> bool:
    properties = paragraph._p.pPr
    style = paragraph.style.name or "" if paragraph.style is not None else ""
    return style.startswith("List") or (properties is not None and properties.numPr is not None)


def _table(table: Table, layout: Layout) -> None:
    """Its first row is a header when marked to repeat on every page, or when all of it is bold."""
    from docx.table import _Cell

    rows, above = list[list[str]](), dict[int, str]()
    for tr in table._tbl.tr_lst:
        column, row = tr.grid_before, list[str]()
        for tc in tr.tc_lst:
            if tc.vMerge == "continue":  # of the cell above, whose text says what the row is about
                row.append(above.get(column, "")[:NAME])
            else:
                row.append(" ".join(_Cell(tc, table).text.split()))
                above[column] = row[-1]
            column += tc.grid_span
        rows.append(row)
    layout.table(rows, header=bool(rows) and _is_header(table))


def _is_header(table: Table) -> bool:
    from docx.table import _Cell

    first = table._tbl.tr_lst[0]
    if first.xpath("./w:trPr/w:tblHeader"):
        return True
    cells = [_Cell(tc, table) for tc in first.tc_lst]
    runs = [run for cell in cells for paragraph in cell.paragraphs for run in paragraph.runs if run.text.strip()]
    return bool(runs) and all(run.bold for run in runs)
