"""XML: titles as headings, prose as paragraphs, and what else holds text as `name: text`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag.ingest import code
from rag.ingest.layout import Layout
from rag.ingest.types import Note, ParsedDocument, ReadError
from rag.ingest.xml_tree import local, tree_of

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

_TITLES = frozenset({"title", "head", "heading", "section-title"})
_PROSE = frozenset(
    {"p", "para", "simpara", "paragraph", "description", "summary", "abstract", "content", "body", "text"}
)
_DEEPEST = 9


def parse(data: bytes, name: str, note: Note) -> list[ParsedDocument]:
    """One document, titled by its first title.

    A file that is not well-formed, or that declares entities, is read as source code: none of them is put in.
    """
    layout = Layout()
    try:
        root = tree_of(data, doctype=True)
    except ReadError as cause:
        note(str(cause) + "; read as source code")
        return code.parse(data, name, note)
    todo: list[tuple[Element, int]] = [(root, 1)]
    while todo:
        element, depth = todo.pop()
        if not local(element):
            continue
        if _is_prose(element):
            _write(element, depth, layout)
        else:
            _data(element, layout)
            todo.extend((child, depth + 1) for child in reversed(element))
    layout.tell(note)
    return [layout.document(name, title="" if layout.first_heading else name)]


def _is_prose(element: Element) -> bool:
    """It has text of its own."""
    return bool((element.text or "").strip()) or any((child.tail or "").strip() for child in element)


def _write(element: Element, depth: int, layout: Layout) -> None:
    name = local(element)
    text = " ".join(_strings(element).split())
    if name.lower() in _TITLES:
        layout.heading(min(depth, _DEEPEST), text)
    elif len(element) or name.lower() in _PROSE:
        layout.block(text)
    else:
        layout.block(f"{name}{_attributes(element)}: {text}", lines=True, tight=True)


def _data(element: Element, layout: Layout) -> None:
    """Settings are often attributes alone."""
    if attributes := _attributes(element):
        layout.block(local(element) + attributes, lines=True, tight=True)


def _attributes(element: Element) -> str:
    return "".join(f" {str(key).rpartition('}')[2]}={value}" for key, value in element.attrib.items())


def _strings(element: Element) -> str:
    """All text below, in order, without recursion."""
    parts = [element.text or ""]
    for inner in element.iterdescendants():
        parts += [inner.text or ""] if local(inner) else []
        parts.append(inner.tail or "")
    return "".join(parts)
