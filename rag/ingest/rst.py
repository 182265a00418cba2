"""reStructuredText: sections by their underlines, listings and tables by their lines, markup taken off the words.

Read by its layout alone. Directives are not run: nothing is included, fetched or computed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from textwrap import dedent

from rag.ingest.clean import decoded, without_permalink
from rag.ingest.layout import Layout
from rag.ingest.stretches import texts
from rag.ingest.types import Note, ParsedDocument

_RULE = re.compile(r"\A([!-/:-@[-`{-~])\1{2,} *$")
_DIRECTIVE = re.compile(r"\A\.\. +(?:\|[^|]+\| +)?(?P<name>[\w:+.-]+):: *(?P<rest>.*)")
_FOOTNOTE = re.compile(r"\A\.\. +(?P<mark>\[[^\]]+\]) +(?P<rest>.*)")
_OPTION = re.compile(r"\A +:[\w-]+:")
_ROWS = re.compile(r"\A *(?:\+[-=+]{3,}|={2,} +=[= ]+|[-*+•] |\(?(?:\d{1,3}|[a-z#])[.)] |:[\w ]+:|\| )")
_LISTINGS = frozenset(
    {"code", "code-block", "sourcecode", "parsed-literal", "math", "testcode", "doctest", "csv-table"}
)
_WITHOUT_TEXT = frozenset(
    {"image", "figure", "include", "literalinclude", "raw", "contents", "toctree", "index", "highlight", "meta"}
)
_TEXT = r"[^`<\s]++(?:\s++[^`<\s]++)*+"
_MARKUP = tuple(
    (re.compile(pattern), by)
    for pattern, by in (
        (rf":[\w:+.-]{{1,60}}:`~?!?({_TEXT}|)\s*+(?:<[^`>]*+>)?`", r"\1"),
        (r"``([^`]+)``", r"\1"),
        (rf"`({_TEXT})\s*+(?:<[^`>]*+>)?`_{{0,2}}", r"\1"),
        (r"(?<!\w)([A-Za-z][\w.+-]*?)(?:__?(?!\w)|(?![\w.+-]))", r"\1"),  # or a word without, as a whole
        (r"\*\*([^*\n]+)\*\*", r"\1"),
        (r"(?<![\w*])\*([^*\s](?:[^*\n]*[^*\s])?)\*(?![\w*])", r"\1"),
    )
)


def parse(data: bytes, name: str, note: Note) -> Iterator[ParsedDocument]:
    """One document, titled by its first heading."""
    layout, levels = Layout(), list[str]()
    for text in texts(map(layout.clean, decoded(data, note))):
        if layout.full:
            yield layout.stretch(name)
        _walk([*text.expandtabs().split("\n"), "", ""], layout, levels)
    layout.tell(note)
    yield layout.document(name)


def _walk(lines: Sequence[str], layout: Layout, levels: list[str]) -> None:
    """`levels`: styles of underlines, in the order in which they first appear. The last two lines are empty."""
    place, listing = 0, False
    while place < len(lines) - 2:
        line = lines[place]
        if not line.strip():
            place += 1
        elif listing and line.startswith(" "):
            place, listing = _listing(lines, place, layout), False
        elif style := _title_style(lines, place):
            if style not in levels:
                levels.append(style)
            layout.heading(levels.index(style) + 1, without_permalink(_words(lines[place + len(style) - 1])))
            place += len(style) + 1
        elif _RULE.match(line) or line.startswith("__ ") or line.rstrip() == "__":
            place += 1
        elif line.lstrip().startswith(".. "):
            place = _explicit(lines, place, layout)
        else:
            end = next(i for i in range(place, len(lines)) if not lines[i].strip() or lines[i].startswith(".. "))
            text = _words("\n".join(lines[place:end]))
            listing = text.endswith("::")
            layout.block(text[:-1] if listing else text, lines=bool(_ROWS.match(line)))
            place = end


def _title_style(lines: Sequence[str], place: int) -> str:
    """The character of the underline, twice where there is an overline too; empty where no title begins here."""
    first, second, third = lines[place : place + 3]
    if (over := _RULE.match(first)) and second.strip() and (under := _RULE.match(third)):
        return over[1] * 2 if over[1] == under[1] else ""
    under = _RULE.match(second)
    fits = (
        under and not first.startswith(" ") and len(second.rstrip()) >= len(first.rstrip()) and not _RULE.match(first)
    )
    return under[1] if under and fits else ""


def _explicit(lines: Sequence[str], place: int, layout: Layout) -> int:
    """A directive, a footnote, a comment or a target. Returns the place behind what was taken."""
    line = lines[place].strip()
    if footnote := _FOOTNOTE.match(line):
        layout.block(f"{footnote['mark']} {_words(footnote['rest'])}")
        return place + 1
    directive = _DIRECTIVE.match(line)
    if directive is None or directive["name"] in _WITHOUT_TEXT:
        return _end_of_indented(lines, place + 1, _indent(lines[place]))
    body = place + 1
    while _OPTION.match(lines[body]):
        body += 1
    if directive["name"] in _LISTINGS:
        return _listing(lines, body, layout, below=_indent(lines[place]))
    layout.block(_words(directive["rest"]))
    return body


def _listing(lines: Sequence[str], place: int, layout: Layout, *, below: int = 0) -> int:
    end = _end_of_indented(lines, place, below)
    layout.block(dedent("\n".join(lines[place:end])), lines=True)
    return end


def _end_of_indented(lines: Sequence[str], place: int, below: int) -> int:
    while place < len(lines) and (not lines[place].strip() or _indent(lines[place]) > below):
        place += 1
    return place


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _words(text: str) -> str:
    for pattern, by in _MARKUP:
        text = pattern.sub(by, text)
    return text
