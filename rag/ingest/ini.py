"""Settings files of the .ini family: a section is a heading, every line stays as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rag.ingest.clean import decoded
from rag.ingest.layout import Layout
from rag.ingest.stretches import texts
from rag.ingest.types import Note, ParsedDocument

_SECTION = re.compile(r"^\[([^\]\n]+)\][ \t]*$", re.MULTILINE)


def parse(data: bytes, name: str, note: Note) -> Iterator[ParsedDocument]:
    """One document, titled by the file's name."""
    layout = Layout()
    for text in texts(map(layout.clean, decoded(data, note))):
        if layout.full:
            yield layout.stretch(name, title=name)
        before, *sections = _SECTION.split(text)
        layout.block(before, lines=True)
        for heading, body in zip(sections[::2], sections[1::2], strict=True):
            layout.open(1, heading.strip())
            layout.block(f"[{heading}]{body}", lines=True)
    layout.tell(note)
    yield layout.document(name, title=name)
