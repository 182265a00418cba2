"""Pictures and tables in Word files."""

from __future__ import annotations

from collections.abc import Iterator

from rag.reading import Beside, Note, Package, ParsedDocument, attribute
from ragline_media.figures.documents import documents
from ragline_media.figures.walk import part, walk

_PART = "word/document.xml"


def figures(data: bytes, name: str, note: Note, beside: Beside) -> Iterator[ParsedDocument]:
    package = Package(data)
    targets = package.targets(_PART)
    found = walk(package.tree(_PART), lambda blip: part(package, targets.get(attribute(blip, "embed"), "")))
    return documents(found, name, note, beside)
