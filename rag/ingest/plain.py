"""Plain text: paragraphs are what blank lines part."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rag.ingest.clean import decoded
from rag.ingest.layout import Layout
from rag.ingest.stretches import texts
from rag.ingest.types import Note, ParsedDocument

_BLANK = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")


def parse(data: bytes, name: str, note: Note) -> Iterator[ParsedDocument]:
    """One document, without headings: plain text has no mark for them."""
    layout = Layout()
    for text in texts(map(layout.clean, decoded(data, note))):
        for paragraph in _BLANK.split(text):
            if layout.full:
                yield layout.stretch(name)
            layout.block(paragraph)
    layout.tell(note)
    yield layout.document(name)
