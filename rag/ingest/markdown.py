"""Markdown through markdown-it-py: CommonMark with tables. Of links and images the words are kept."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rag.ingest.clean import decoded, without_permalink
from rag.ingest.layout import Layout
from rag.ingest.stretches import LENGTH, break_of, texts
from rag.ingest.types import Note, ParsedDocument, own_fields

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token


_LANDMARK = re.compile(r"^(?:(?P<fence> {0,3}(?P<mark>`{3,}|~{3,}))|(?P<heading>#{1,6} )|(?P<blank>\n))", re.MULTILINE)


def parse(data: bytes, name: str, note: Note) -> Iterator[ParsedDocument]:
    """One document. Plain values of a YAML front matter become metadata, its `title` the title.

    One of more than two million characters is parsed in stretches, which begin at a heading where there is one.
    """
    layout, parser = Layout(), _parser()
    front: dict[str, Any] | None = None
    for text in texts(map(layout.clean, decoded(data, note)), break_of=_break_of):
        if front is None:
            front, text = _front_matter(text)
        elif layout.full:
            yield layout.stretch(name, title=str(front.get("title", "")), metadata=_fields(front))
        _walk(parser.parse(text), layout)
    layout.tell(note)
    front = front or {}
    yield layout.document(name, title=str(front.get("title", "")), metadata=_fields(front))


def _fields(front: Mapping[str, Any]) -> dict[str, Any]:
    return own_fields({key: value for key, value in front.items() if key != "title"})


def _break_of(text: str) -> int:
    """The first heading after a stretch, else the last blank line, none of them inside a fenced listing."""
    fence, blank = "", 0
    for landmark in _LANDMARK.finditer(text, 0, 2 * LENGTH):
        if landmark["fence"]:
            closes = landmark["mark"].startswith(fence)
            fence = landmark["mark"] if not fence else "" if closes else fence
        elif not fence and landmark.start() >= LENGTH:
            if landmark["heading"]:
                return landmark.start()
            blank = landmark.end()
    return blank or break_of(text)


def write(text: str, layout: Layout) -> None:
    """Add what a Markdown text holds."""
    _walk(_parser().parse(text), layout)


def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable("table")


def _walk(tokens: Sequence[Token], layout: Layout) -> None:
    lists: list[list[int | None]] = []  # the next number of each open list, None where it has bullets
    mark = ""
    level = 0
    rows: list[list[str]] = []
    for token in tokens:
        match token.type:
            case "heading_open":
                level = int(token.tag[1:])
            case "heading_close":
                level = 0
            case "bullet_list_open":
                lists.append([None])
            case "ordered_list_open":
                lists.append([int(token.attrGet("start") or 1) if token.attrGet("start") != 0 else 0])
            case "bullet_list_close" | "ordered_list_close":
                lists.pop()
            case "list_item_open":
                mark = _mark(lists)
            case "table_open":
                rows = []
            case "tr_open":
                rows.append([])
            case "table_close":
                layout.table(rows, header=True)
                rows = []
            case "inline":
                text = "".join(_words(token.children or ()))
                if rows:
                    rows[-1].append(text)
                elif level:
                    layout.heading(level, without_permalink(text))
                else:
                    layout.block(mark + text, tight=bool(lists and mark))
                    mark = ""
            case "fence" | "code_block":
                layout.block(token.content, lines=True)
            case "html_block":
                layout.block(_without_tags(token.content))


def _mark(lists: list[list[int | None]]) -> str:
    number = lists[-1][0]
    if number is None:
        return "- "
    lists[-1][0] = number + 1
    return f"{number}. "


def _words(tokens: Sequence[Token]) -> Iterator[str]:
    for token in tokens:
        match token.type:
            case "text" | "code_inline":
                yield token.content
            case "softbreak" | "hardbreak":
                yield "\n"
            case "image":
                yield from _words(token.children or ())
            case "html_inline" if token.content.startswith("<br"):
                yield "\n"


def _without_tags(markup: str) -> str:
    from bs4 import BeautifulSoup

    return BeautifulSoup(markup, "lxml").get_text(" ", strip=True)


def _front_matter(text: str) -> tuple[dict[str, Any], str]:
    """Plain values of the YAML between two `---` lines at the top, and the rest."""
    if not text.startswith("---\n"):
        return {}, text
    head, fence, body = text[4:].partition("\n---\n")
    if not fence:
        return {}, text
    import yaml

    try:
        fields = yaml.safe_load(head)
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}, text
    if not isinstance(fields, Mapping):
        return {}, text
    return {str(key): value for key, value in fields.items() if isinstance(value, str | int | float | bool)}, body
