"""Markup -> blocks of a document, through Beautiful Soup and lxml: which strings stand together, in reading order.

Nothing here recurses, so nesting cannot exhaust the stack.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from enum import Enum
from typing import TYPE_CHECKING, Any

from rag.ingest.clean import without_permalink
from rag.ingest.layout import Layout

if TYPE_CHECKING:
    from bs4 import BeautifulSoup, Tag

HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "div", "dl",
    "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header",
    "hr", "html", "li", "main", "ol", "p", "pre", "section", "summary", "table", "tbody", "td", "tfoot", "th",
    "thead", "tr", "ul",
})  # fmt: skip
_TERM = 7
"""The level of a heading that is a term of a list of definitions, or the summary of details: below all others."""
_EXPLAINED = 200
"""Characters of an explanation from which on its term is a heading, as the questions of a page of questions are."""
_SPACE = re.compile(r"[ \t\n]+")


class _Mark(Enum):
    """What stands between strings: a table of data, and the end of a list of definitions or of details."""

    TABLE, END = "table", "end"


def soup_of(text: str) -> BeautifulSoup:
    """The tree of a page."""
    from bs4 import BeautifulSoup

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Beautiful Soup's guesses at what else the text could be
        return BeautifulSoup(text, "lxml")


def walk(root: Tag, layout: Layout, *, said: Callable[[str], bool] = lambda text: False) -> None:
    """Add what is below `root`: strings that share their nearest block element; a change of it ends a block.

    Args:
        said: whether a block says what stands elsewhere already, and is left out.
    """
    block, pieces = root, list[str]()
    for owner, piece in _strings(root):
        if owner is not block or isinstance(piece, _Mark):
            _add(block, "".join(pieces), layout, said)
            block, pieces = owner, []
        if piece is _Mark.END:
            layout.close(_TERM)
        elif piece is _Mark.TABLE:
            first = owner.find("tr")
            header = first is not None and (not first.find("td") or first.find_parent("thead") is not None)
            layout.table(_rows(owner), header=header)
        else:
            pieces.append(piece)
    _add(block, "".join(pieces), layout, said)


def _strings(root: Tag) -> Iterator[tuple[Tag, str | _Mark]]:
    """Strings in reading order, each with its nearest block element; of a mark for a table, the table."""
    from bs4.element import NavigableString, Tag

    tables = _data_tables(root)
    todo: list[tuple[Tag, Tag | NavigableString | None]] = [(root, root)]
    while todo:
        owner, node = todo.pop()
        if node is None:
            yield owner, _Mark.END
        elif isinstance(node, Tag):
            if node.name == "br":
                yield owner, "\n"
            elif id(node) in tables:
                yield node, _Mark.TABLE
            else:
                inner = node if node.name in _BLOCKS else owner
                if node.name in ("dl", "details"):
                    todo.append((owner, None))
                todo.extend((inner, child) for child in reversed(node.contents))  # type: ignore[misc]
        elif type(node) is NavigableString:  # comments and declarations are subclasses
            yield owner, str(node) if owner.name == "pre" else _SPACE.sub(" ", node)


def _rows(table: Tag) -> list[list[str]]:
    """Texts of the cells, row by row. What stands in a cell within a cell is of the inner one alone."""
    from bs4.element import NavigableString, Tag

    rows = list[list[list[str]]]()
    todo: list[tuple[Any, list[str] | None]] = [(table, None)]
    while todo:
        node, cell = todo.pop()
        if isinstance(node, Tag):
            if node.name == "tr":
                rows.append([])
            elif node.name in ("th", "td") and rows:
                cell = []
                rows[-1].append(cell)
            todo.extend((child, cell) for child in reversed(node.contents))
        elif type(node) is NavigableString and cell is not None and (text := node.strip()):
            cell.append(text)
    return [[" ".join(cell) for cell in row] for row in rows]


def _data_tables(root: Tag) -> set[int]:
    """Every table by the id() of its element, without those that only lay out the page: with a table or heading in them."""
    from bs4.element import Tag

    with_rows, layouts = set[int](), set[int]()
    todo: list[tuple[Tag, int]] = [(root, 0)]
    while todo:
        tag, table = todo.pop()
        if tag.name == "tr":
            with_rows.add(table)
        elif tag.name == "table" or tag.name in HEADINGS:
            layouts.add(table)
        inner = id(tag) if tag.name == "table" else table
        todo.extend((child, inner) for child in tag.contents if isinstance(child, Tag))
    return with_rows - layouts - {0}


def _add(block: Tag, text: str, layout: Layout, said: Callable[[str], bool]) -> None:
    if said(text):
        return
    if block.name in HEADINGS:
        layout.heading(HEADINGS[block.name], without_permalink(text))
    elif block.name == "pre":
        layout.block(text, lines=True)
    else:
        if block.name in ("dt", "summary"):
            layout.close(_TERM)
            if _is_explained(block) and (term := layout.clean.line(without_permalink(text))):
                layout.open(_TERM, term)
        text = "\n".join(line.strip(" ") for line in text.split("\n")).strip()
        item = block.name == "li" and text
        layout.block(f"- {text}" if item else text, tight=bool(item))


def _is_explained(term: Tag) -> bool:
    """Whether much follows a term: as much as is worth a section of its own."""
    from bs4.element import Tag

    beside, length = term.find_next_sibling(), 0
    if not isinstance(beside, Tag) or (term.name == "dt" and beside.name != "dd"):
        return False
    for piece in beside.stripped_strings:
        length += len(piece)
        if length >= _EXPLAINED:
            return True
    return False
