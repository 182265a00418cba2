"""HTML through Beautiful Soup and lxml: the main part of the page, block by block, without scripts and
navigation.

Nothing here recurses, so nesting cannot exhaust the stack.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rag.ingest.clean import decode, without_permalink
from rag.ingest.layout import Layout
from rag.ingest.types import Note, ParsedDocument

if TYPE_CHECKING:
    from bs4 import BeautifulSoup, Tag

_DROPPED = [
    "script", "style", "noscript", "template", "svg", "math", "nav", "iframe", "select", "button", "dialog"
]  # fmt: skip
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "div", "dl",
    "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header",
    "hr", "html", "li", "main", "ol", "p", "pre", "section", "summary", "table", "tbody", "td", "tfoot", "th",
    "thead", "tr", "ul",
})  # fmt: skip
_SPACE = re.compile(r"[ \t\n]+")
_AROUND_BREAK = re.compile(r"[ ]*\n[ ]*")


def parse(data: bytes, name: str, note: Note) -> list[ParsedDocument]:
    """One document, titled by its only h1, else by its title element."""
    layout = Layout()
    title = write(layout.clean(_text(data, note)), layout)
    layout.clean.tell(note)
    return [layout.document(name, title=title)]


def write(markup: str, layout: Layout, *, book: bool = False) -> str:
    """Add the main part of a page, of a `book` its notes too. Returns its title: its only h1, else its title element."""
    soup = _soup(markup)
    page_title = soup.title.get_text(" ", strip=True) if soup.title else ""
    for tag in [*soup.find_all(_DROPPED), *soup.select("[hidden], [aria-hidden=true], a.headerlink")]:
        tag.decompose()
    for anchor in soup.select(", ".join(f"{heading} a[href^='#']" for heading in _HEADINGS)):
        if not any(map(str.isalnum, anchor.get_text())):
            anchor.decompose()
    headings = [heading.get_text(" ", strip=True) for heading in soup.find_all("h1")]
    _walk((soup.body or soup) if book else _main(soup), layout)
    return without_permalink(headings[0]) if len(headings) == 1 else page_title


def _text(data: bytes, note: Note) -> str:
    """Decoded as the page itself declares, where that works; otherwise as any text."""
    from bs4.dammit import EncodingDetector

    declared = EncodingDetector.find_declared_encoding(data, is_html=True)
    if declared and declared.lower() not in ("utf-8", "utf8"):
        try:
            return data.decode(declared)
        except (LookupError, UnicodeError):
            note(f"declares the encoding {declared[:40]!r} but is not in it")
    return decode(data, note)


def _soup(text: str) -> BeautifulSoup:
    from bs4 import BeautifulSoup

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Beautiful Soup's guesses at what else the text could be
        return BeautifulSoup(text, "lxml")


def _main(soup: BeautifulSoup) -> Tag:
    for matches in (soup.find_all("main"), soup.find_all(role="main"), soup.find_all("article")):
        if len(matches) == 1:
            return matches[0]
    for tag in soup.find_all(["footer", "aside"]):
        tag.decompose()
    return soup.body or soup


def _walk(root: Tag, layout: Layout) -> None:
    """Gather strings that share their nearest block element; a change of it ends a block."""
    block, pieces = root, list[str]()
    for owner, piece in _strings(root):
        if owner is not block or piece is None:
            _add(block, "".join(pieces), layout)
            block, pieces = owner, []
        if piece is None:
            rows = [[cell.get_text(" ", strip=True) for cell in row.find_all(["th", "td"])] for row in owner("tr")]
            first = owner("tr")[0]
            layout.table(rows, header=not first.find("td") or first.find_parent("thead") is not None)
        else:
            pieces.append(piece)
    _add(block, "".join(pieces), layout)


def _strings(root: Tag) -> Iterator[tuple[Tag, str | None]]:
    """Strings in reading order, each with its nearest block element. A table of data is (table, None)."""
    from bs4.element import NavigableString, Tag

    todo: list[tuple[Tag, Tag | NavigableString]] = [(root, root)]
    while todo:
        owner, node = todo.pop()
        if isinstance(node, Tag):
            if node.name == "br":
                yield owner, "\n"
            elif node.name == "table" and _holds_data(node):
                yield node, None
            else:
                inner = node if node.name in _BLOCKS else owner
                todo.extend((inner, child) for child in reversed(node.contents))  # type: ignore[misc]
        elif type(node) is NavigableString:  # comments and declarations are subclasses
            yield owner, str(node) if owner.name == "pre" else _SPACE.sub(" ", node)


def _holds_data(table: Tag) -> bool:
    """Not a table that only lays out the page."""
    return bool(table.find("tr")) and not table.find(["table", *_HEADINGS])


def _add(block: Tag, text: str, layout: Layout) -> None:
    if block.name in _HEADINGS:
        layout.heading(_HEADINGS[block.name], without_permalink(text))
    elif block.name == "pre":
        layout.block(text, lines=True)
    else:
        text = _AROUND_BREAK.sub("\n", text).strip()
        item = block.name == "li" and text
        layout.block(f"- {text}" if item else text, tight=bool(item))
