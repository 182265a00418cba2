"""A picture that stands in a document -> a document of its own, with the text around it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from rag.reading import Beside, Note, ParsedDocument, ReadError
from ragline_media.reading import picture

MOST = 300
"""Pictures of one file."""
LEAST_SIDE = 48
"""Pixels; what is smaller is an icon, a bullet or a rule."""
LONGEST = 400
"""Characters of text on each side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A picture in a document: its bytes, what is said of it, the text before it, and on which page it stands, from 1."""

    data: bytes
    said: str = ""
    before: str = ""
    page: int | None = None


def documents(figures: Iterable[Figure], name: str, note: Note, beside: Beside) -> Iterator[ParsedDocument]:
    """One for each picture that a browser may be given, `name@figure1` and so on: passages of the same document, behind its text.
    A picture that comes again, as a logo does on every page, is kept once."""
    seen, number, left_out = set[bytes](), 0, 0
    for each in figures:
        digest = hashlib.sha256(each.data).digest()
        if digest in seen:
            continue
        seen.add(digest)
        if number == MOST:
            note(f"more than {MOST} pictures in it: the others are left out", lost=True)
            break
        said = " ".join(each.said.split())[:LONGEST] or " ".join(each.before.split())[-LONGEST:]
        try:
            [made] = picture.parse(each.data, name, _quiet, replace(beside, caption=said))
        except ReadError:
            left_out += 1  # such as a drawing of an office program, which nobody here draws
            continue
        (_, content), *_ = made.contents
        if min(content.metadata["width"], content.metadata["height"]) < LEAST_SIDE:
            continue
        number += 1
        page = {} if each.page is None else {"page": each.page}
        yield replace(
            made,
            doc_id=f"{name}@figure{number}",
            title=PurePosixPath(name).stem,
            metadata={**made.metadata, "parent": name, "figure": number, **page},
        )
    if left_out:
        note(f"{left_out} pictures in it are of a format that is not read here, or damaged", lost=True)


def _quiet(reason: str, *, lost: bool = False) -> None:
    """What is mended in a picture of a document is told to nobody: there are many, and none has a name."""
