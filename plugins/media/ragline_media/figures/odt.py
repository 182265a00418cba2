"""Pictures and tables in OpenDocument texts, and on OpenDocument slides: said of those is what the slide says."""

from __future__ import annotations

from collections.abc import Iterator

from lxml.etree import _Element as Element

from rag.reading import Beside, Note, Package, ParsedDocument, attribute, local
from ragline_media.figures.documents import Figure, documents
from ragline_media.figures.walk import part, walk


def figures(data: bytes, name: str, note: Note, beside: Beside) -> Iterator[ParsedDocument]:
    """A document for each; of slides `page` is the number of its slide."""
    return documents(_found(Package(data)), name, note, beside)


def _found(package: Package) -> Iterator[Figure]:
    def read(image: Element) -> bytes:
        return part(package, attribute(image, "href").removeprefix("./"))

    root = package.tree("content.xml")
    slides = [each for each in root.iter() if local(each) == "page"]
    for number, slide in enumerate(slides, start=1):
        yield from walk(slide, read, page=number)
    for body in (each for each in root if local(each) == "body" and not slides):
        yield from walk(body, read)
