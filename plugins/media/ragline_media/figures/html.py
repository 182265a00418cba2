"""Pictures and tables in web pages. Pictures are read whose bytes stand in the page itself: nothing is fetched, and no file beside
it is opened."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator

from lxml import etree
from lxml.etree import _Element as Element

from rag.reading import Beside, Note, ParsedDocument, attribute
from ragline_media.figures.documents import documents
from ragline_media.figures.walk import walk

_BASE64 = ";base64"


def figures(data: bytes, name: str, note: Note, beside: Beside) -> Iterator[ParsedDocument]:
    return documents(walk(tree_of(data), _inside), name, note, beside)


def tree_of(data: bytes) -> Element:
    """A page, in whichever encoding it is."""
    from bs4.dammit import UnicodeDammit

    text = UnicodeDammit(data, ["utf-8"], is_html=True).unicode_markup or ""
    parser = etree.HTMLParser(encoding="utf-8", no_network=True, huge_tree=True)
    root = etree.fromstring(text.encode("utf-8", "replace") or b"<html/>", parser)
    return etree.Element("html") if root is None else root


def _inside(image: Element) -> bytes | None:
    """The bytes that the address of a picture is made of; None where it leads elsewhere."""
    source = attribute(image, "src").strip()
    head, _, encoded = source.partition(",")
    if not head.lower().startswith("data:"):
        return None if source else b""
    if not head.lower().endswith(_BASE64):
        return b""
    try:
        return b64decode(encoded)
    except ValueError:
        return b""
