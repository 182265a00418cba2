"""Parsed document -> the units that are indexed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, takewhile, zip_longest
from math import inf
from typing import TYPE_CHECKING

from rag.core.contents import Content
from rag.core.types import Document
from rag.ingest.packing import pack, pack_turns
from rag.ingest.pieces import Piece, Ruler, fits, pieces
from rag.ingest.types import ParsedDocument

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rag.ingest.settings import ChunkSettings

Encode = Callable[[Sequence[str]], "NDArray[np.float32]"]
"""Texts -> float32 [n, dim]."""

_TINY = 12
_LONGEST_TITLE = 1000
_LOWEST = 20
"""Per cent of a document's neighbours that count as turns."""


def chunk(
    document: ParsedDocument,
    *,
    settings: ChunkSettings,
    spans: Ruler,
    encode: Encode | None = None,
    number: int = 1,
    line: int = 1,
) -> list[Document]:
    """Cut a document into chunks, `doc_id#1`, `doc_id#2`, ...; a corpus record of up to
    `settings.corpus_tokens` stays whole.

    `text[start:end]` of the document is exactly the chunk's text. Chunks are in order, hold every character
    that is not space, and break between sentences (lines, in tables and code) unless one alone is above the
    limit. A heading begins a new chunk, unless what stands under it or before it is under a twelfth of
    `settings.tokens`: such crumbs go with the neighbour that shares more of the heading path. Overlap is
    whole sentences, never more than half a chunk, and never reaches over a heading that begins a chunk.

    Where `settings.cut` is meaning, a chunk also ends before a sentence that `encode` finds unlike the one before
    (`turns`), once it holds a quarter of the limit, and chunks do not overlap.

    `title` is the document's and the heading path, joined by ` › `; `headings` and `page` are those that most
    of the chunk stands under, or what all its headings share. `ocr` is true where any of it was read from a
    picture, and `ocr_lines` are the boxes of its lines there (`LineBox`). Code has `line` and `end_line` too, from 1.

    Of a document that comes in stretches, `number` and `line` are those of the first chunk and line in this one.

    Raises:
        ValueError: to be cut by meaning, without `encode`.

    A content goes with the chunk that holds its place; with the first that does where chunks overlap, and with the last one
    before it where it stands between two.
    """
    all_pieces = _pieces(document, settings, spans)
    if not all_pieces and document.offset:
        return []
    if not all_pieces:
        contents = tuple(content for _, content in document.contents)
        return [
            Document(
                doc_id=document.doc_id,
                text=document.text,
                title=document.title,
                metadata=document.metadata,
                contents=contents,
            )
        ]
    overlap = min(settings.overlap, settings.tokens // 2)
    least = settings.tokens // _TINY
    turning = _turning(document, all_pieces, encode) if settings.cut == "meaning" else None
    ranges: list[Sequence[Piece]] = []
    for group in _groups(document, all_pieces, limit=settings.tokens, least=least):
        sizes = [piece.size for piece in group]
        if turning is None:
            cuts = pack(sizes, limit=settings.tokens, overlap=overlap, least=least)
        else:
            cuts = pack_turns(sizes, [piece.start in turning for piece in group], limit=settings.tokens)
        ranges += [group[first:last] for first, last in cuts]
    return list(_chunks(document, ranges, number, line))


def turns(texts: Sequence[str], encode: Encode) -> list[bool]:
    """For each text, whether the subject changes before it: its cosine to the one before is in the lowest fifth."""
    import numpy as np

    if len(texts) < 2:
        return [False] * len(texts)
    vectors = encode(texts)
    lengths = np.linalg.norm(vectors, axis=1)
    cosines = np.sum(vectors[1:] * vectors[:-1], axis=1) / np.maximum(lengths[1:] * lengths[:-1], 1e-12)
    return [False, *(cosines < np.percentile(cosines, _LOWEST)).tolist()]  # strictly: where all are alike, none turns


def _pieces(document: ParsedDocument, settings: ChunkSettings, spans: Ruler) -> list[Piece]:
    """What chunks are packed from; nothing for a corpus record that stays whole."""
    most = settings.corpus_tokens if document.whole else 0
    if most and (most == inf or len(document.text) <= most or len(document.title) > _LONGEST_TITLE):
        return []  # a token has a character at least; and each chunk would have the title
    if most and fits(document.text, most, spans):
        return []
    found = list(pieces(document, limit=settings.tokens, spans=spans))
    return [] if most and _size(found) <= most else found


def _turning(document: ParsedDocument, all_pieces: Sequence[Piece], encode: Encode | None) -> frozenset[int]:
    """Where the pieces begin before which the subject changes."""
    if encode is None:
        raise ValueError("chunks are to be cut by meaning, and no encoder is given")
    turned = turns([document.text[piece.start : piece.end] for piece in all_pieces], encode)
    return frozenset(piece.start for piece, turn in zip(all_pieces, turned, strict=True) if turn)


def _groups(document: ParsedDocument, all_pieces: Sequence[Piece], *, limit: int, least: int) -> list[list[Piece]]:
    """Runs of pieces that no chunk crosses: sections, with each tiny one put to a neighbour."""

    def path(piece: Piece) -> tuple[str, ...]:
        return document.blocks[piece.block].headings

    sections = [list(run) for _, run in groupby(all_pieces, key=path)]
    groups: list[list[Piece]] = []
    for section, after in zip_longest(sections, sections[1:]):
        if not groups or _size(groups[-1]) >= least <= _size(section):
            groups.append(section)
        elif _size(groups[-1]) < least:
            groups[-1] += section
        else:
            before = len(_shared([path(groups[-1][-1]), path(section[0])]))
            behind = len(_shared([path(section[0]), path(after[0])])) if after else -1
            fits = _size(groups[-1]) + _size(section) <= limit
            if not after or (fits and before > behind):
                groups[-1] += section
            else:
                groups.append(section)
    return groups


def _chunks(document: ParsedDocument, ranges: Sequence[Sequence[Piece]], number: int, line: int) -> Iterator[Document]:
    text, counted = document.text, 0
    beside = _beside(document, [(inside[0].start, inside[-1].end) for inside in ranges])
    for position, inside in enumerate(ranges, start=1):
        start, end = inside[0].start, inside[-1].end
        headings, page = _place(document, inside)
        metadata = {
            **document.metadata,
            "parent": document.metadata.get("parent", document.doc_id),
            "start": document.offset + start,
            "end": document.offset + end,
            "headings": list(headings),
        }
        if page is not None:
            metadata["page"] = page
        if any(document.blocks[piece.block].ocr for piece in inside):
            metadata["ocr"] = True
        if boxes := [[*box] for box in document.boxes if box[0] < metadata["end"] and box[1] > metadata["start"]]:
            metadata["ocr_lines"] = boxes
        if "code_language" in document.metadata:
            line, counted = line + text.count("\n", counted, start), start
            metadata["line"], metadata["end_line"] = line, line + text.count("\n", start, end)
        title = [document.title, *headings]
        if headings and headings[0].casefold() == document.title.casefold():
            del title[0]
        yield Document(
            doc_id=f"{document.doc_id}#{number + position - 1}",
            text=text[start:end],
            title=" › ".join(title),
            metadata=metadata,
            contents=beside.get(position, ()),
        )


def _beside(document: ParsedDocument, spans: Sequence[tuple[int, int]]) -> dict[int, tuple[Content, ...]]:
    """Number of a chunk, from 1 -> its contents."""
    beside: dict[int, tuple[Content, ...]] = {}
    for offset, content in document.contents:
        holding = [number for number, (start, end) in enumerate(spans, start=1) if start <= offset < end]
        before = [number for number, (start, _) in enumerate(spans, start=1) if start <= offset]
        number = holding[0] if holding else before[-1] if before else 1
        beside[number] = (*beside.get(number, ()), content)
    return beside


def _place(document: ParsedDocument, inside: Sequence[Piece]) -> tuple[tuple[str, ...], int | None]:
    """The heading path over most of these pieces, or what all of them share, and the page of most."""
    under: Counter[tuple[str, ...]] = Counter()
    on: Counter[int | None] = Counter()
    for piece in inside:
        block = document.blocks[piece.block]
        under[block.headings] += piece.size
        on[block.page] += piece.size
    path, most = under.most_common(1)[0]
    headings = path if 2 * most > _size(inside) else _shared(list(under))
    return headings, on.most_common(1)[0][0]


def _size(inside: Sequence[Piece]) -> int:
    return sum(piece.size for piece in inside)


def _shared(paths: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    first, last = min(paths), max(paths)  # what these two share, all between them share
    return tuple(name for name, _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))
