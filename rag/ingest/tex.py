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
_PREAMBLE = re.compile(r"\\(?:(documentclass)|begin\{document\})")
_TITLE = re.compile(r"\\title(?:\[[^\[\]]*+\])?\{((?:[^{}]++|\{[^{}]*+\})*+)\}")
_LISTING = re.compile(r"\\(begin|end)\{(verbatim|lstlisting|minted|alltt)\*?\}")
_SECTION = re.compile(
    r"\\(part|chapter|section|subsection|subsubsection|paragraph)\*?(?:\[[^\[\]]*+\])?"
    r"\{((?:[^{}]++|\{[^{}]*+\})*+)\}"
)
_ITEM = re.compile(r"\\item(?:\[([^\[\]]*+)\])?")
_SILENT = re.compile(
    r"\\(?:label|ref|eqref|pageref|cite[a-z]*|bibliography[a-z]*|includegraphics|input|include|usepackage|begin|end"
    r"|vspace|hspace|setlength|index|hypersetup|newcommand|renewcommand)(?![a-zA-Z])\*?(?:\[[^\[\]]*+\])*+(?:\{[^{}]*+\})*+"
)
_COMMAND = re.compile(r"\\[a-zA-Z@]+\*?[ \t]?")
_ESCAPED = re.compile(r"\\([%&#_{}$])")
_SAVED = re.compile("[\ue000-\ue07f]")
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
    layout.tell(note)
    yield layout.document(name, title=title)


def _write(text: str, layout: Layout) -> None:
    """Listings first: nothing in them is a command."""
    done = 0
    for begin, end in _listings(text):
        if begin.start() >= done:
            _prose(text[done : begin.start()], layout)
            layout.block(text[begin.end() : end.start()], lines=True)
            done = end.end()
    _prose(text[done:], layout)


def _listings(text: str) -> list[tuple[re.Match[str], re.Match[str]]]:
    """Each begin that has an end of its name behind it, with the first one. Found from the end, so each is seen once."""
    found, ends = list[tuple[re.Match[str], re.Match[str]]](), dict[str, re.Match[str]]()
    for mark in reversed(list(_LISTING.finditer(text))):
        if mark[1] == "end":
            ends[mark[2]] = mark
        elif mark[2] in ends:
            found.append((mark, ends[mark[2]]))
    return found[::-1]


def _without_preamble(text: str) -> str:
    """What stands between the class of a document and its beginning says how it looks."""
    kept, done, begin = list[str](), 0, None
    for mark in _PREAMBLE.finditer(text):
        if mark[1]:
            begin = mark if begin is None else begin
        elif begin is not None:
            kept.append(text[done : begin.start()])
            done, begin = mark.end(), None
    return "".join([*kept, text[done:]])


def _prose(text: str, layout: Layout) -> None:
    text = _without_preamble(_COMMENT.sub("", text))
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
    text = _SAVED.sub(lambda match: chr(ord(match[0]) - 0xE000), text.replace("{", "").replace("}", ""))
    return "\n".join(" ".join(line.split()) for line in text.strip().split("\n"))
