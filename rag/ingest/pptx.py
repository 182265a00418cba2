"""PowerPoint files: a slide is a section under its title, with text, tables and notes. `page` is its number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag.ingest.layout import Layout
from rag.ingest.office import Package, attribute, below, first, outermost, relation
from rag.ingest.types import Note, ParsedDocument
from rag.ingest.xml_tree import local

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

_DECK = "ppt/presentation.xml"
_SMALL = frozenset({"dt", "ftr", "sldNum"})  # date, footer and number, on every slide


def parse(data: bytes, name: str, note: Note) -> list[ParsedDocument]:
    """One document, titled by its properties, else by its first slide.

    Raises:
        ReadError: not such a file, encrypted, a bomb, or with a document type declaration.
    """
    package, layout = Package(data), Layout()
    targets = package.targets(_DECK)
    slides = [targets.get(relation(each), "") for each in below(package.tree(_DECK), "sldId")]
    for number, part in enumerate(dict.fromkeys(slides), start=1):  # a listing may name one slide a million times
        title, rest = _shapes(package.tree(part))
        if title:
            layout.heading(1, title, page=number)
        else:
            layout.open(1, f"Slide {number}")
        for shape in rest:
            _write(shape, number, layout)
        for target in package.targets(part).values():
            if target.startswith("ppt/notesSlides/") and target in package.names:
                _notes(package.tree(target), number, layout)
    layout.tell(note)
    return [layout.document(name, title=_title(package))]


def _shapes(slide: Element) -> tuple[str, list[Element]]:
    """The title, and shapes and tables beside it, in the order of the file."""
    title = ""
    rest: list[Element] = []
    for shape in outermost(slide, "sp", "tbl"):
        kind = _placeholder(shape)
        if local(shape) == "sp" and kind in ("title", "ctrTitle") and not title:
            title = " ".join(_paragraphs(shape))
        elif kind not in _SMALL:
            rest.append(shape)
    return title, rest


def _write(shape: Element, number: int, layout: Layout) -> None:
    if local(shape) == "tbl":
        rows = [[" ".join(_paragraphs(cell)) for cell in outermost(row, "tc")] for row in outermost(shape, "tr")]
        properties = first(shape, "tblPr")
        styled = properties is not None and attribute(properties, "firstRow") in ("1", "true")
        layout.table(rows, header=styled and _names_columns(rows), page=number)
        return
    paragraphs = [text for text in _paragraphs(shape) if text.strip()]
    for text in paragraphs:
        layout.block(f"- {text}" if len(paragraphs) > 1 else text, page=number, tight=len(paragraphs) > 1)


def _names_columns(rows: list[list[str]]) -> bool:
    """Whether each name has something below it; most tables are styled as if they had a row of names."""
    names, *below_them = rows or [[]]
    return all(
        any(row[i : i + 1] != [""] for row in below_them if len(row) > i) for i, name in enumerate(names) if name
    )


def _notes(notes: Element, number: int, layout: Layout) -> None:
    for shape in below(notes, "sp"):
        if _placeholder(shape) == "body":
            layout.block("\n".join(_paragraphs(shape)), page=number)


def _placeholder(shape: Element) -> str:
    place = first(shape, "ph") if local(shape) == "sp" else None
    return attribute(place, "type") if place is not None else ""


def _paragraphs(element: Element) -> list[str]:
    return [
        "".join("\n" if local(run) == "br" else run.text or "" for run in below(paragraph, "t", "br"))
        for paragraph in outermost(element, "p")
    ]


def _title(package: Package) -> str:
    if "docProps/core.xml" not in package.names:
        return ""
    title = first(package.tree("docProps/core.xml"), "title")
    text = "" if title is None else title.text or ""
    return "" if text.casefold().startswith("powerpoint ") else text
