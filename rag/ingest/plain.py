"""Plain text: paragraphs are what blank lines part, and what a release brought stands under its number."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rag.ingest.clean import decoded
from rag.ingest.layout import Layout
from rag.ingest.stretches import texts
from rag.ingest.types import Note, ParsedDocument

_BLANK = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")
_RELEASE = re.compile(
    r"""\A(?:\W{0,4}(?:[\w'+-]{1,20}[ ]){0,4}(?:version|release|v)[ .]?\d{1,9}(?:\.\d{1,9}){1,9}
            [\w.+~-]{0,40}(?<!\.)(?:[ ]{0,2}[^\w\s.][^.]{0,60})?
        |\W{0,4}\d{1,9}(?:\.\d{1,9}){2,9}[\w.+~-]{0,40}\]?(?:[ ]?[-/(:].{0,60})?
        |\S{1,60}[ ]\(\d[\w.+~:-]{0,60}\)[ ][\w -]{1,60};[ ].{0,60})\Z""",
    re.IGNORECASE | re.VERBOSE,
)
"""`Version 2.23 - 18 February 2024`, `1.4.2 (2024-05-01)`, or `units (2.23-1) unstable; urgency=medium`."""
_LINE = 120
"""Characters of a line that may name a release."""
_TEXT = re.compile(r"\w")


def parse(data: bytes, name: str, note: Note) -> Iterator[ParsedDocument]:
    """One document. Plain text has no mark for headings but one: in a list of changes, the line that names a release."""
    layout = Layout()
    for text in texts(map(layout.clean, decoded(data, note))):
        for paragraph in _BLANK.split(text):
            if layout.full:
                yield layout.stretch(name)
            line, _, rest = paragraph.lstrip("\n").partition("\n")
            if len(line) <= _LINE and _RELEASE.match(line.rstrip()) and not _TEXT.match(rest):
                layout.open(1, line.strip(" \t*=#"))
            layout.block(paragraph)
    layout.tell(note)
    yield layout.document(name)
