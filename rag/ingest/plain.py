"""Plain text: paragraphs are what blank lines part."""

from __future__ import annotations

import re

from rag.ingest.clean import decode
from rag.ingest.layout import Layout
from rag.ingest.types import Note, ParsedDocument

_BLANK = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")


def parse(data: bytes, name: str, note: Note) -> list[ParsedDocument]:
    """One document, without headings: plain text has no mark for them."""
    layout = Layout()
    for paragraph in _BLANK.split(layout.clean(decode(data, note))):
        layout.block(paragraph)
    layout.clean.tell(note)
    return [layout.document(name)]
