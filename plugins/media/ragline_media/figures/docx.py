"""Pictures in Word files: said of them is their alt text and a caption below, else the paragraph before."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from lxml import etree

from rag.reading import Beside, Note, ParsedDocument
from ragline_media.figures.documents import Figure, documents
from ragline_media.figures.package import A, Parts, R, alt_of, text_of

_PART = "word/document.xml"
_CAPTION = re.compile(r"(?:fig|abb|rys|tab|bild|chart|diagram|photo|plate|ilustra)", re.IGNORECASE)


def figures(data: bytes, name: str, note: Note, beside: Beside) -> Iterator[ParsedDocument]:
    """A document for each."""
    return documents(_found(Parts(data)), name, note, beside)


def _found(parts: Parts) -> Iterator[Figure]:
    targets = parts.targets(_PART)
    paragraphs: list[etree._Element | None] = [
        each for each in parts.tree(_PART).iter() if str(each.tag).endswith("wordprocessingml/2006/main}p")
    ]
    before = ""
    for paragraph, following in pairwise([*paragraphs, None]):
        assert paragraph is not None
        own, below = text_of(paragraph), "" if following is None else text_of(following)
        for drawing in (each for each in paragraph.iter() if str(each.tag).endswith("}drawing")):
            caption = below if _CAPTION.match(below) else ""
            said = ". ".join(filter(None, (alt_of(drawing).strip(" ."), caption or own)))
            for blip in drawing.iter(f"{A}blip"):
                if picture := parts.read(targets.get(blip.get(f"{R}embed", ""), "")):
                    yield Figure(data=picture, said=said, before=before)
        before = own or before
