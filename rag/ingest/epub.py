"""EPUB books: the chapters in the order of reading, each read as a page of HTML."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING
from urllib.parse import unquote

from rag.ingest.clean import decode
from rag.ingest.html import write
from rag.ingest.layout import Layout
from rag.ingest.office import Package, attribute, below, first
from rag.ingest.types import Note, ParsedDocument, ReadError, own_fields

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lxml.etree import _Element as Element

_CONTAINER = "META-INF/container.xml"
_PAGES = frozenset({"application/xhtml+xml", "text/html", "application/x-dtbook+xml"})


def parse(data: bytes, name: str, note: Note) -> Iterator[ParsedDocument]:
    """One document, titled by the book; its author and language are metadata.

    Raises:
        ReadError: not such a file, encrypted, or a bomb.
    """
    package, layout = Package(data), Layout()
    listed = first(package.tree(_CONTAINER), "rootfile")
    listing = "" if listed is None else attribute(listed, "full-path")
    book = package.tree(listing, doctype=True)
    title, about = _said(book, "title"), {key: _said(book, key) for key in ("creator", "language", "date")}
    metadata = own_fields({key: value for key, value in about.items() if value})
    pages = {
        attribute(item, "id"): posixpath.normpath(
            posixpath.join(posixpath.dirname(listing), unquote(attribute(item, "href")))
        )
        for item in below(book, "item")
        if attribute(item, "media-type") in _PAGES
    }
    order = [pages[ref] for ref in (attribute(each, "idref") for each in below(book, "itemref")) if ref in pages]
    missing = [page for page in order if page not in package.names]
    if "META-INF/encryption.xml" in package.names and "META-INF/rights.xml" in package.names:
        raise ReadError("encrypted: its reading is bound to a licence")
    for page in dict.fromkeys(order):  # a listing may name one page a million times
        if page in missing:
            continue
        if layout.full:
            yield layout.stretch(name, title=title, metadata=metadata)
        content = package.read(page)
        if content.strip():
            write(layout.clean(decode(content, note)), layout, book=True)
    if missing:
        note(f"{len(missing)} chapters are not in it; first: {missing[0][:80]!r}", lost=True)
    layout.tell(note)
    yield layout.document(name, title=title, metadata=metadata)


def _said(book: Element, name: str) -> str:
    """What the book says of itself."""
    element = first(book, name)
    return "" if element is None else " ".join((element.text or "").split())
