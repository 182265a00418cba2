"""Source code: the text is the file's, and headings are the names of the definitions around a piece."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rag.ingest.clean import Cleaner, decode
from rag.ingest.formats import LANGUAGES, suffix, unpacked_name
from rag.ingest.layout import LINE
from rag.ingest.types import Block, Note, ParsedDocument

_DEFINITION = re.compile(
    r"\A(?P<indent>[ ]{0,4}|\t)"
    r"(?:(?:export|default|public|private|protected|internal|static|final|abstract|async|pub(?:\([a-z]+\))?"
    r"|unsafe|virtual|override|inline|extern|sealed|data)[ ]+)*"
    r"(?:def|class|func|fn|function|interface|struct|impl|trait|enum|module|namespace|object|sub|defmodule"
    r"|message|service)"
    r"\*?[ ]+(?:\([^)\n]{0,80}\)[ ]*)?(?P<name>[A-Za-z_$][\w$.]*(?:::\w+)*)"
)


def parse(data: bytes, name: str, note: Note) -> list[ParsedDocument]:
    """One document, titled by its path. A block is a definition, or what stands between two at the margin."""
    clean = Cleaner()
    text = clean(decode(data, note))
    clean.tell(note)
    language = LANGUAGES.get(suffix(unpacked_name(name)), "")
    blocks = tuple(_blocks(text))
    return [
        ParsedDocument(
            doc_id=name,
            title=name,
            text=text,
            blocks=blocks,
            metadata={"code_language": language, "source": name},
        )
    ]


def _blocks(text: str) -> Iterator[Block]:
    outer = ""
    for start, end in _units(text):
        lines = text[start:end].split("\n")
        opened = next((match for match in map(_DEFINITION.match, lines) if match), None)
        inside = lines[0][:1] in (" ", "\t")
        name = opened["name"][: LINE // 2] if opened else ""
        if opened and inside and outer:
            headings: tuple[str, ...] = (outer, name)
        elif opened:
            outer, headings = name, (name,)
        else:
            outer, headings = "", ()
        yield Block(start=start, end=end, headings=headings, lines=True)


def _units(text: str) -> Iterator[tuple[int, int]]:
    """Spans that begin after a blank line, at the margin or with a definition."""
    start, end, position, blank = 0, 0, 0, True
    for line in text.splitlines(keepends=True):
        if not line.strip():
            blank = True
        else:
            if blank and (line[0] not in " \t})]" or _DEFINITION.match(line)):
                if end > start:
                    yield start, end
                start = position
            blank, end = False, position + len(line.rstrip())
        position += len(line)
    if end > start:
        yield start, end
