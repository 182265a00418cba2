"""HTML through Beautiful Soup and lxml: the main part of the page, block by block, without scripts and
navigation.

Nothing here recurses, so nesting cannot exhaust the stack.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rag.ingest.clean import Cleaner, decode, decoded_as, without_permalink
from rag.ingest.faq import CLAIM, Asked, declared
from rag.ingest.layout import Layout
from rag.ingest.markup import HEADINGS, soup_of, walk
from rag.ingest.sentences import sentences
from rag.ingest.types import Note, ParsedDocument

if TYPE_CHECKING:
    from bs4 import BeautifulSoup, Tag

_DROPPED = [
    "script", "style", "noscript", "template", "svg", "math", "nav", "iframe", "select", "button", "dialog"
]  # fmt: skip


_NO_TEXT = "[hidden], [aria-hidden=true], [role=navigation], .sphinxsidebar, a.headerlink"


def parse(data: bytes, name: str, note: Note) -> list[ParsedDocument]:
    """One document, titled by its only h1, else by its title element.

    A page of questions (schema.org's FAQPage) is a document for each, `name:1`, `name:2`, ..., titled by the question,
    after one of what it says beside them.
    """
    layout = Layout()
    markup = layout.clean(_text(data, note))
    soup = soup_of(markup)
    asked = declared(soup, note) if CLAIM in markup else []
    answers = [_answered(each, name, number, layout.clean) for number, each in enumerate(asked, start=1)]
    if wordless := [each for each in answers if not each.text]:
        note(f"{len(wordless)} questions whose answer has no words are no documents; first: {wordless[0].title!r}")
        answers = [each for each in answers if each.text]
    told = {sentence for each in answers for text in (each.title, each.text) for sentence in _plain(text)}
    title = _write(soup, layout, _main, said=lambda text: bool(told) and told.issuperset(_plain(text)))
    layout.tell(note)
    page = layout.document(name, title=title)
    return [page, *answers] if page.text or not answers else answers


def write(markup: str, layout: Layout, *, book: bool = False) -> str:
    """Add the main part of a page, of a `book` its notes too. Returns its title: its only h1, else its title element."""
    return _write(soup_of(markup), layout, _body if book else _main)


def _write(
    soup: BeautifulSoup,
    layout: Layout,
    part: Callable[[BeautifulSoup], Tag],
    *,
    said: Callable[[str], bool] = lambda text: False,
) -> str:
    page_title = soup.title.get_text(" ", strip=True) if soup.title else ""
    for tag in [*soup.find_all(_DROPPED), *soup.select(_NO_TEXT)]:
        tag.decompose()
    for anchor in soup.select(", ".join(f"{heading} a[href^='#']" for heading in HEADINGS)):
        if not any(map(str.isalnum, anchor.get_text())):
            anchor.decompose()
    headings = soup.find_all("h1", limit=2)
    title = without_permalink(headings[0].get_text(" ", strip=True)) if len(headings) == 1 else page_title
    walk(part(soup), layout, said=said)
    return title


def _answered(asked: Asked, name: str, number: int, clean: Cleaner) -> ParsedDocument:
    layout = Layout(clean)
    asked.write(layout)
    metadata = {"lang": asked.lang} if asked.lang else {}
    return layout.document(name, title=asked.question, doc_id=f"{name}:{number}", metadata=metadata)


def _plain(text: str) -> list[str]:
    """Sentences by their words alone: a page sets the same in other lines and lists than it declares."""
    lines = (line.strip().removeprefix("- ") for line in text.split("\n"))
    return [" ".join(line[start:end].split()).casefold() for line in lines for start, end in sentences(line)]


def _text(data: bytes, note: Note) -> str:
    """Decoded as the page itself declares, where that works; otherwise as any text."""
    from bs4.dammit import EncodingDetector

    declared = EncodingDetector.find_declared_encoding(data, is_html=True)
    if declared and declared.lower() not in ("utf-8", "utf8"):
        if (text := decoded_as(data, declared)) is not None:
            return text
        note(f"declares the encoding {declared[:40]!r} but is not in it")
    return decode(data, note)


def _body(soup: BeautifulSoup) -> Tag:
    return soup.body or soup


def _main(soup: BeautifulSoup) -> Tag:
    for matches in (soup.find_all("main"), soup.find_all(role="main"), soup.find_all("article")):
        if len(matches) == 1:
            return matches[0]
    for tag in soup.find_all(["footer", "aside"]):
        tag.decompose()
    return soup.body or soup
