"""Text that is made of one file, held to a multiple of the file's size: what repeats itself without end is cut there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from rag.ingest.types import Block, Limits, Note, ParsedDocument

ANY_TEXT = 1 << 20
"""Characters that any file may give, however small it is."""


def bounded(
    documents: Iterable[ParsedDocument], *, size_bytes: int, limits: Limits, note: Note
) -> Iterator[ParsedDocument]:
    """The documents, as long as their text is at most `limits.text_ratio` times the file's bytes, or a mebi character.

    A title and a path of headings count as text wherever the path changes, as passages have them too. Of the document
    that goes beyond, the beginning is kept. All that comes behind is read and left out, and the note says how much that
    is, and where it begins.

    Args:
        size_bytes: of the file as it lies on the disk, packed if it is.
    """
    most = max(ANY_TEXT, limits.text_ratio * size_bytes)
    left, n_chars, n_documents, first = most, 0, 0, ""
    for document in documents:
        cost = sum(map(len, _counted(document)))
        if cost <= left and not first:
            left -= cost
            yield document
            continue
        kept = document if first else _beginning(document, left)
        gone = len(document.text) if first else len(document.text) - len(kept.text)
        n_chars, n_documents = n_chars + gone, n_documents + (not document.offset or not first)
        if not first:
            first = _place(document, len(kept.text))
            if kept.text:
                yield kept
    if first:
        note(
            f"{n_chars:,} characters left out in {n_documents:,} documents, from {first} on: a file of {size_bytes:,} bytes "
            f"may give {most:,} characters of text; split it, if it is what it should be",
            lost=True,
        )


def _counted(document: ParsedDocument) -> Iterator[str]:
    yield document.text
    before: tuple[str, ...] | None = None
    for block in document.blocks:
        if block.headings != before:
            before = block.headings
            yield document.title
            yield from block.headings


def _beginning(document: ParsedDocument, left: int) -> ParsedDocument:
    """As much of a document as fits, without text where that is nothing. A record of a corpus is not cut."""
    blocks, end = list[Block](), 0
    before: tuple[str, ...] | None = None
    for block in document.blocks if not document.whole else ():
        above = len(document.title) + sum(map(len, block.headings)) if block.headings != before else 0
        room = left - above - (block.start - end)
        if room <= 0:
            break
        blocks.append(replace(block, end=min(block.end, block.start + room)))
        left, end, before = room - (blocks[-1].end - block.start), blocks[-1].end, block.headings
    contents = tuple((offset, content) for offset, content in document.contents if offset < end)
    return replace(document, text=document.text[:end], blocks=tuple(blocks), contents=contents)


def _place(document: ParsedDocument, end: int) -> str:
    above = next((block.headings for block in document.blocks if block.end > end), ())
    return f"{document.doc_id!r}" + (f" under {above[-1][:80]!r}" if above else "")
