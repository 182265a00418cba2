"""LaTeX: sections as headings, listings as they are, and of commands the words that they are given.

Nothing is run: no macro is expanded and no file is read. Formulas stay as they are written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rag.ingest.clean import decoded
from rag.ingest.layout import Layout
from rag.ingest.stretches import texts
from rag.ingest.types import Note, ParsedDocument

_LEVELS = {"part": 1, "chapter": 2, "section": 3, "subsection": 4, "subsubsection": 5, "paragraph": 6}
_COMMENT = re.compile(r"(?<!\\)%[^\n]*\n?")
_PREAMBLE = re.compile(r"\\documentclass.*?\\begin\{document\}", re.DOTALL)
_TITLE = re.compile(r"\\title(?:\[[^\]]*\])?\{((?:[^{}]|\{[^{}]*\})*)\}")
_LISTING = re.compile(r"\\begin\{(verbatim|lstlisting|minted|alltt)\*?\}(.*?)\\end\{\1\*?\}", re.DOTALL)
_SECTION = re.compile(
    r"\\(part|chapter|section|subsection|subsubsection|paragraph)\*?(?:\[[^\]]*\])?\{((?:[^{}]|\{[^{}]*\})*)\}"
)
_ITEM = re.compile(r"\\item(?:\[([^\]]*)\])?")
_SILENT = re.compile(
    r"\\(?:label|ref|eqref|pageref|cite[a-z]*|bibliography[a-z]*|includegraphics|input|include|usepackage|begin|end"
    r"|vspace|hspace|setlength|index|hypersetup|newcommand|renewcommand)(?![a-zA-Z])\*?(?:\[[^\]]*\])*(?:\{[^{}]*\})*"
)
_COMMAND = re.compile(r"\\[a-zA-Z@]+\*?[ \t]?")
_ESCAPED = re.compile(r"\\([%&#_{}$])")
_BLANK = re.compile(r"\n[ \t]*\n\s*")


def parse(data: bytes, name: str, note: Note) -> Iterator[ParsedDocument]:
    """One document, titled by its `\\title`."""
    layout, title = Layout(), ""
    for text in texts(map(layout.clean, decoded(data, note))):
        if layout.full:
            yield layout.stretch(name, title=title)
        if not title and (match := _TITLE.search(text)):
            title = _words(match[1])
        _write(text, layout)
    layout.clean.tell(note)
    yield layout.document(name, title=title)


def _write(text: str, layout: Layout) -> None:
    """Listings first: nothing in them is a command."""
    done = 0
    for listing in _LISTING.finditer(text):
        _prose(text[done : listing.start()], layout)
        layout.block(listing[2], lines=True)
        done = listing.end()
    _prose(text[done:], layout)


def _prose(text: str, layout: Layout) -> None:
    text = _PREAMBLE.sub("", _COMMENT.sub("", text))
    before, *sections = _SECTION.split(text)
    _paragraphs(before, layout)
    for kind, heading, body in zip(sections[::3], sections[1::3], sections[2::3], strict=True):
        layout.heading(_LEVELS[kind], _words(heading))
        _paragraphs(body, layout)


def _paragraphs(text: str, layout: Layout) -> None:
    for paragraph in _BLANK.split(text):
        first, *items = _ITEM.split(paragraph)
        layout.block(_words(first))
        for label, item in zip(items[::2], items[1::2], strict=True):
            words = _words(f"{label} {item}" if label else item)
            layout.block(f"- {words}" if words else "", tight=True)


def _words(text: str) -> str:
    text = _SILENT.sub("", text).replace("\\\\", "\n").replace("~", " ").replace("``", "“").replace("''", "”")
    text = _ESCAPED.sub(lambda match: chr(0xE000 + ord(match[1])), text)
    text = _COMMAND.sub("", text)
    text = re.sub(r"[{}]", "", text)
    text = re.sub("[\ue000-\ue07f]", lambda match: chr(ord(match[0]) - 0xE000), text)
    return "\n".join(" ".join(line.split()) for line in text.strip().split("\n"))
