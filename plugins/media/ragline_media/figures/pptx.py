"""Pictures and tables on slides: said of them is what the slide says."""

from __future__ import annotations

from collections.abc import Iterator

from lxml.etree import _Element as Element

from rag.reading import Beside, Note, Package, ParsedDocument, attribute, local, relation
from ragline_media.figures.documents import Figure, documents
from ragline_media.figures.walk import part, walk

_DECK = "ppt/presentation.xml"


def figures(data: bytes, name: str, note: Note, beside: Beside) -> Iterator[ParsedDocument]:
    """A document for each; `page` is the number of its slide."""
    return documents(_found(Package(data)), name, note, beside)


def _found(package: Package) -> Iterator[Figure]:
    targets = package.targets(_DECK)
    listed = (targets.get(relation(each), "") for each in package.tree(_DECK).iter() if local(each) == "sldId")
    for number, slide in enumerate(dict.fromkeys(listed), start=1):
        inside = package.targets(slide)

        def read(blip: Element, inside: dict[str, str] = inside) -> bytes:
            return part(package, inside.get(attribute(blip, "embed"), ""))

        yield from walk(package.tree(slide), read, page=number)
