"""Pictures on slides: said of them is their alt text, and what the slide says."""

from __future__ import annotations

from collections.abc import Iterator

from rag.reading import Beside, Note, ParsedDocument
from ragline_media.figures.documents import Figure, documents
from ragline_media.figures.package import A, Parts, R, alt_of, text_of

_DECK = "ppt/presentation.xml"


def figures(data: bytes, name: str, note: Note, beside: Beside) -> Iterator[ParsedDocument]:
    """A document for each; `page` is the number of its slide."""
    return documents(_found(Parts(data)), name, note, beside)


def _found(parts: Parts) -> Iterator[Figure]:
    targets = parts.targets(_DECK)
    listed = (each.get(f"{R}id", "") for each in parts.tree(_DECK).iter() if str(each.tag).endswith("}sldId"))
    for number, slide in enumerate(dict.fromkeys(targets.get(each, "") for each in listed), start=1):
        tree, inside = parts.tree(slide), parts.targets(slide)
        words = text_of(tree)
        for shape in (each for each in tree.iter() if str(each.tag).endswith("}pic")):
            said = ". ".join(filter(None, (alt_of(shape).strip(" ."), words)))
            for blip in shape.iter(f"{A}blip"):
                if picture := parts.read(inside.get(blip.get(f"{R}embed", ""), "")):
                    yield Figure(data=picture, said=said, page=number)
