"""Long texts go piece by piece: no process holds more of one than a few million characters at once.

A document of more than a million characters (of two, in some formats) or 65,536 blocks comes in stretches of about a
million, one after the other. Their texts put together are the document's; `offset` says where each begins. No chunk
reaches from one to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain

from rag.ingest.types import Block, ParsedDocument

LENGTH = 1 << 20
"""Characters of a stretch, about."""
BLOCKS = 1 << 16
"""Blocks of a stretch, at most: of a few characters each, they take more room than the text."""


def break_of(text: str) -> int:
    """Where a text of more than two stretches is cut: after a blank line, else after a line, else after a word."""
    for mark in ("\n\n", "\n", " "):
        place = text.rfind(mark, LENGTH, 2 * LENGTH)
        if place >= 0:
            return place + len(mark)
    return 2 * LENGTH


def texts(pieces: Iterable[str], *, break_of: Callable[[str], int] = break_of) -> Iterator[str]:
    """Pieces of any length put together, in order, as texts of one to two stretches; the last may be shorter."""
    held = ""
    for piece in pieces:
        held += piece
        while len(held) > 2 * LENGTH:
            place = break_of(held)
            yield held[:place]
            held = held[place:]
    yield held


def lines(pieces: Iterable[str]) -> Iterator[str]:
    """Lines with their line feeds, of a text that comes in pieces."""
    held: list[str] = []
    for piece in pieces:
        first, *rest = piece.split("\n")
        held.append(first)
        for line in rest:
            yield "".join(held) + "\n"
            held = [line]
    if last := "".join(held):
        yield last


def stretched(documents: Iterable[ParsedDocument]) -> Iterator[ParsedDocument]:
    """The documents, long ones in stretches. A corpus record stays whole."""
    for document in documents:
        if document.whole or (len(document.text) <= 2 * LENGTH and len(document.blocks) <= BLOCKS):
            yield document
        else:
            yield from _cut(document)


def joined(documents: Iterable[ParsedDocument]) -> Iterator[ParsedDocument]:
    """The documents, each in one: what `stretched` was given."""
    held: list[ParsedDocument] = []
    for document in documents:
        if held and not document.offset:
            yield _whole(held)
            held = []
        held.append(document)
    if held:
        yield _whole(held)


def _cut(document: ParsedDocument) -> Iterator[ParsedDocument]:
    start, inside = 0, list[Block]()
    for block in chain.from_iterable(_short(document.text, long) for long in document.blocks):
        if inside and (block.end - start > LENGTH or len(inside) >= BLOCKS):
            yield _stretch(document, start, block.start, inside)
            start, inside = block.start, []
        inside.append(block)
    yield _stretch(document, start, len(document.text), inside)


def _short(text: str, block: Block) -> Iterator[Block]:
    """A block in pieces that are not longer than a stretch."""
    start = block.start
    while block.end - start > LENGTH:
        places = (text.rfind(mark, start + 1, start + LENGTH) for mark in "\n ")
        place = next((place + 1 for place in places if place > start), start + LENGTH)
        yield replace(block, start=start, end=place)
        start = place
    yield replace(block, start=start)


def _stretch(document: ParsedDocument, start: int, end: int, blocks: Iterable[Block]) -> ParsedDocument:
    shifted = tuple(replace(block, start=block.start - start, end=block.end - start) for block in blocks)
    boxes = tuple(box for box in document.boxes if start <= box[0] - document.offset < end)
    return replace(document, text=document.text[start:end], blocks=shifted, offset=document.offset + start, boxes=boxes)


def _whole(stretches: list[ParsedDocument]) -> ParsedDocument:
    if len(stretches) == 1:
        return stretches[0]
    blocks = tuple(
        replace(block, start=block.start + stretch.offset, end=block.end + stretch.offset)
        for stretch in stretches
        for block in stretch.blocks
    )
    boxes = tuple(chain.from_iterable(stretch.boxes for stretch in stretches))
    return replace(stretches[0], text="".join(stretch.text for stretch in stretches), blocks=blocks, boxes=boxes)
