"""Pictures and tables of a tree of text, of office programs as of web pages, each with what is said of it.

Elements are known by their names without a namespace. Nothing here recurses, so nesting cannot exhaust the stack.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from lxml import etree
from lxml.etree import _Element as Element

from rag.reading import Package, ReadError, attribute, local
from ragline_media.figures.documents import Figure, Table
from ragline_media.figures.grid import HEADINGS, TABLES, grid_of, text_of

Read = Callable[[Element], bytes | None]
"""The bytes of a picture by its element; none where it has some that cannot be read, None where they lie elsewhere."""

_TEXTS = HEADINGS | {"p", "h", "li", "dt", "dd", "pre", "figcaption", "caption"}
_PICTURES = frozenset({"blip", "image", "img"})
_FRAMES = ("drawing", "frame", "pic")
"""What pictures of office programs stand in; where they stand elsewhere they are a background."""
_PASSED = frozenset({"script", "style", "template", "noscript", "svg", "nav", "footer", "aside", "tracked-changes"})
_CAPTION = re.compile(r"(?:fig|abb|rys|tab|bild|chart|diagram|photo|plate|ilustra)", re.IGNORECASE)
_NEAR = 16
"""Elements above a picture among which its paragraph is looked for."""


@dataclass(slots=True)
class _Item:
    """A text, a picture or a table. `inside`: of a table. `holds`: there is a picture in it, so it is no caption of one before."""

    element: Element
    inside: bool
    text: str | None = None
    holds: bool = False


def walk(root: Element, read: Read, *, page: int | None = None) -> Iterator[Figure]:
    """Those below an element, in their order. Said of a picture is its alt text, and its caption or its paragraph; of a table its
    caption; else the text before. On a `page` of slides it is what the slide says."""
    items = [*_items(root)]
    slide = "" if page is None else " ".join(each.text for each in items if each.text and not each.inside)
    before = ""
    for item, (below, behind) in zip(items, _following(items), strict=True):
        if item.text is not None:
            before = before if item.inside else item.text or before
            continue
        marked = _caption_of(item.element) or slide
        if local(item.element) in TABLES:
            if grid := grid_of(item.element):
                said = marked or next(filter(_CAPTION.match, (before, behind)), "")
                yield Table(grid=grid, said=said, before=before, page=page)
        elif (data := read(item.element)) is None:
            yield Figure(elsewhere=True)
        elif data:
            own = next((each for each in _above(item.element) if local(each) in _TEXTS), None)
            below = below if _CAPTION.match(below) else ""
            told = marked or below or ("" if own is None else text_of(own))
            said = ". ".join(filter(None, (_alt_of(item.element).strip(" ."), told)))
            yield Figure(data=data, said=said, before=before, page=page)


def part(package: Package, name: str) -> bytes:
    """The bytes of a part of a file; none where it is absent or damaged."""
    try:
        return package.read(name)
    except ReadError:
        return b""


def _items(root: Element) -> Iterator[_Item]:
    walking, deep = etree.iterwalk(root, events=("start", "end")), 0
    last: _Item | None = None
    for event, element in walking:
        name = local(element)
        if name in TABLES:
            if event == "start":
                yield _Item(element, deep > 0)
            deep += 1 if event == "start" else -1
        elif event == "end":
            continue
        elif name in _PASSED:
            walking.skip_subtree()
        elif name in _TEXTS:
            last = _Item(element, deep > 0, text_of(element))
            yield last
        elif name in _PICTURES and (name == "img" or any(local(each) in _FRAMES for each in _above(element))):
            if last is not None and last.element in _above(element):
                last.holds = True
            yield _Item(element, deep > 0)


def _following(items: list[_Item]) -> Iterator[tuple[str, str]]:
    """For each the next text, and the next one that stands in no table."""
    found, below, behind = list[tuple[str, str]](), "", ""
    for item in reversed(items):
        found.append((below, behind))
        below = "" if item.holds else item.text or below
        behind = behind if item.inside else item.text or behind
    return reversed(found)


def _above(element: Element) -> Iterator[Element]:
    return islice(element.iterancestors(), _NEAR)


def _caption_of(element: Element) -> str:
    """Of a web page, where it is marked as one."""
    own = [each for each in element if local(each) == "caption"]
    figure = next((each for each in _above(element) if local(each) == "figure"), etree.Element("none"))
    near = (*own, *figure[:_NEAR], *figure[-1:])
    return next((text_of(each) for each in near if local(each) in ("caption", "figcaption")), "")


def _alt_of(element: Element) -> str:
    """What somebody wrote for those who do not see the picture."""
    if local(element) == "img":
        return " ".join(attribute(element, "alt").split())
    for frame in (each for each in _above(element) if local(each) in _FRAMES):
        said = [attribute(each, "descr") for each in islice(frame.iter(), _NEAR) if local(each) in ("docPr", "cNvPr")]
        said += [each.text or "" for each in frame[:_NEAR] if local(each) in ("title", "desc")]
        if any(said):
            return next(filter(None, said))
    return ""
