"""OpenDocument texts: headings, paragraphs, lists, tables and notes, in their order; and slides, of which `page` is the number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rag.ingest.layout import Layout
from rag.ingest.office import Package, attribute, first, outermost
from rag.ingest.types import Note, ParsedDocument, ReadError
from rag.ingest.xml_tree import local

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

_LEFT_OUT = frozenset({"tracked-changes", "annotation", "annotation-end", "sequence-decls", "table-of-content"})
_MOST_SPACES = 100
_DEEPEST = 100


def parse(data: bytes, name: str, note: Note) -> list[ParsedDocument]:
    """One document, titled by its properties, else by its first heading.

    Raises:
        ReadError: not such a file, encrypted, a bomb, or with a document type declaration.
    """
    package, layout = Package(data), Layout()
    if (
        "META-INF/manifest.xml" in package.names
        and first(package.tree("META-INF/manifest.xml"), "encryption-data") is not None
    ):
        raise ReadError("encrypted; save a copy without the password")
    body = first(package.tree("content.xml"), "body")
    todo: list[tuple[Element, bool, int]] = [] if body is None else [(body, False, 0)]
    n_deep = 0
    page: int | None = None
    while todo:
        element, item, depth = todo.pop()
        kind = local(element)
        if kind in _LEFT_OUT:
            continue
        if kind == "h":
            level = attribute(element, "outline-level")
            layout.heading(int(level) if level.isdecimal() and len(level) < 3 else 1, _text(element), page=page)
        elif kind == "p":
            text = _text(element).strip()
            layout.block(f"- {text}" if item and text else text, tight=item, page=page)
        elif kind == "table":
            _table(element, layout, page)
        elif kind == "frame" and attribute(element, "class") == "title":
            layout.heading(1, _text(element), page=page)
        elif depth > _DEEPEST:
            n_deep += 1
        else:
            page = (page or 0) + 1 if kind == "page" else page
            todo.extend((child, item or kind == "list-item", depth + 1) for child in reversed(element))
    if n_deep:
        note(f"{n_deep} parts nested more than {_DEEPEST} deep left out", lost=True)
    layout.tell(note)
    return [layout.document(name, title=_title(package))]


def _table(table: Element, layout: Layout, page: int | None) -> None:
    header = first(table, "table-header-rows") is not None
    rows = [
        [" ".join(_text(part) for part in outermost(cell, "p", "h")) for cell in row if local(cell) == "table-cell"]
        for row in outermost(table, "table-row")
    ]
    layout.table(rows, header=header, page=page)


def _text(element: Element) -> str:
    """Text of a paragraph. Spaces, tabs and line breaks are elements; remarks and changes are left out."""
    parts = [element.text or ""]
    todo: list[Element | str] = [*_inside(element)]
    while todo:
        node = todo.pop()
        if isinstance(node, str):
            parts.append(node)
            continue
        kind = local(node)
        if kind == "s":
            count = attribute(node, "c")
            parts.append(" " * min(int(count) if count.isdecimal() and len(count) < 6 else 1, _MOST_SPACES))
        elif kind in ("tab", "line-break"):
            parts.append("\t" if kind == "tab" else "\n")
        elif kind and kind not in _LEFT_OUT:
            parts.append(node.text or "")
            todo += _inside(node)
    return "".join(parts)


def _inside(element: Element) -> Iterator[Element | str]:
    """Children and the texts behind them, the last one first."""
    for child in reversed(element):
        yield child.tail or ""
        yield child


def _title(package: Package) -> str:
    title = first(package.tree("meta.xml"), "title") if "meta.xml" in package.names else None
    return "" if title is None else title.text or ""
