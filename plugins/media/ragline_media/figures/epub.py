"""Pictures and tables in books, chapter by chapter as they are read."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from urllib.parse import unquote

from lxml.etree import _Element as Element

from rag.reading import Beside, Note, Package, ParsedDocument, attribute, local
from ragline_media.figures.documents import Figure, documents
from ragline_media.figures.html import tree_of
from ragline_media.figures.walk import part, walk


def figures(data: bytes, name: str, note: Note, beside: Beside) -> Iterator[ParsedDocument]:
    return documents(_found(Package(data)), name, note, beside)


def _found(package: Package) -> Iterator[Figure]:
    container = package.tree("META-INF/container.xml")
    listing = next((attribute(each, "full-path") for each in container.iter() if local(each) == "rootfile"), "")
    book = [*package.tree(listing, doctype=True).iter()]
    places = {attribute(each, "id"): attribute(each, "href") for each in book if local(each) == "item"}
    for chapter in dict.fromkeys(attribute(each, "idref") for each in book if local(each) == "itemref"):
        page = _joined(listing, places.get(chapter, ""))

        def read(image: Element, page: str = page) -> bytes | None:
            inside = _joined(page, attribute(image, "src"))
            return part(package, inside) if inside in package.names else None

        if content := part(package, page):
            yield from walk(tree_of(content), read)


def _joined(place: str, href: str) -> str:
    """The part that an address in another one means."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(place), unquote(href.partition("#")[0])))
