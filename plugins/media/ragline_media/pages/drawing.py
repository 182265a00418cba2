"""A page of a PDF as a picture, and where words stand on it: pdfium, by pypdfium2.

These functions run in the process that parses, which is bounded in memory and in the processor's time and writes no file. They are
given the bytes of a file and give plain data.
"""

from __future__ import annotations

import ctypes
import hashlib
import io
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from rag.reading import ReadError
from ragline_media.pages.finding import Box, characters, found

_DOTS_PER_POINT = 2.0
LONGEST_SIDE = 2_000
"""Pixels of a page of any size."""
MOST_CHARACTERS = 200_000
"""Of one page, that are looked through."""
_FINE = 100
"""Parts of a point: pdfium places in whole numbers."""
_GAP = 2.5
"""Heights of a character between two that are still of one stretch; a column is further away."""


def is_drawn(file: Path) -> bool:
    """Whether pages of a file are drawn, by its name."""
    return file.suffix.lower() == ".pdf"


def drawn(data: bytes, *, sha256: str, page: int) -> dict[str, Any]:
    """A page, counted from 1, as WebP in base64.

    Raises:
        ReadError: the bytes are not those with that digest, are no PDF, or have no such page.
    """
    with _opened(data, sha256) as document:
        sheet = _page(document, page)
        scale = min(_DOTS_PER_POINT, LONGEST_SIDE / max(*sheet.get_size(), 1))
        picture = sheet.render(scale=scale, may_draw_forms=False).to_pil()
        stream = io.BytesIO()
        picture.convert("RGB").save(stream, "WEBP", quality=85, method=2)
        return {"picture": b64encode(stream.getvalue()).decode("ascii")}


def marked(
    data: bytes, *, sha256: str, pages: Sequence[int], words: str, passage: str, scanned: Sequence[Any] = ()
) -> dict[str, Any]:
    """Where words stand on some pages that follow one another: each page on which they do, its size, and a box for each stretch of
    a line. `n_pages`: of the file.

    Args:
        passage: what the words are of; see `found`.
        scanned: page, text and box of each line that OCR read (`scanned_lines`); these stand for what the file has on their pages.
    Raises:
        ReadError: as `drawn`.
    """
    with _opened(data, sha256) as document:
        sheets = {number: _page(document, number) for number in pages if number <= len(document)}
        read = {number: [*lines] for number, lines in groupby(characters(scanned), key=itemgetter(0))}
        stand = [each for number, sheet in sheets.items() for each in read.get(number) or _characters(sheet, number)]
        spans = found(words, "".join(character for _, character, _ in stand), passage=passage)
        on: dict[int, list[Box]] = {}
        for first, last in spans:
            for number, _, box in stand[first:last]:
                on.setdefault(number, []).append(box)
        shown = [
            {"page": number, "width": size[0], "height": size[1], "boxes": lines_of(on.get(number, ()))}
            for number, size in ((number, sheet.get_size()) for number, sheet in sheets.items())
        ]
        return {"n_pages": len(document), "pages": shown}


def lines_of(boxes: Sequence[Box]) -> list[Box]:
    """Boxes of characters, in their order, as one for each stretch of a line, whichever way that runs. What has no area is left
    out.

    >>> lines_of([(0, 0, 5, 10), (5, 1, 9, 10), (0, 12, 5, 22)])
    [(0, 0, 9, 10), (0, 12, 5, 22)]
    """
    lines, before = list[Box](), None
    for box in boxes:
        left, top, right, bottom = box
        if right <= left or bottom <= top:
            continue
        if before is not None and (_beside(before, box) or _beside(_turned(before), _turned(box))):
            line = lines[-1]
            lines[-1] = min(line[0], left), min(line[1], top), max(line[2], right), max(line[3], bottom)
        else:
            lines.append(box)
        before = box
    return lines


def _beside(one: Box, other: Box) -> bool:
    """Whether two characters stand on one line that runs across, near each other."""
    low = min(one[3] - one[1], other[3] - other[1])
    shared = min(one[3], other[3]) - max(one[1], other[1])
    return 2 * shared > low and max(one[0], other[0]) - min(one[2], other[2]) < _GAP * low


def _turned(box: Box) -> Box:
    left, top, right, bottom = box
    return top, left, bottom, right


@contextmanager
def _opened(data: bytes, sha256: str) -> Iterator[Any]:
    import pypdfium2

    if hashlib.sha256(data).hexdigest() != sha256:
        raise ReadError("the file is another one now than when it was indexed")
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as cause:
        raise ReadError(f"it cannot be opened: {cause}") from None
    try:
        yield document
    finally:
        document.close()


def _page(document: Any, number: int) -> Any:
    import pypdfium2

    if not 1 <= number <= len(document):
        raise ReadError(f"there is no page {number}: it has {len(document)}")
    try:
        return document[number - 1]
    except pypdfium2.PdfiumError as cause:
        raise ReadError(f"page {number} is damaged: {cause}") from None


def _characters(sheet: Any, page: int) -> Iterator[tuple[int, str, Box]]:
    """Page, character and box of each on a page, in the order in which the file draws them."""
    from pypdfium2 import raw

    width, height = (max(1, round(_FINE * side)) for side in sheet.get_size())
    text, rectangle = sheet.get_textpage(), raw.FS_RECTF()
    for number in range(min(text.count_chars(), MOST_CHARACTERS)):
        character = chr(raw.FPDFText_GetUnicode(text, number))
        boxed = raw.FPDFText_GetLooseCharBox(text, number, rectangle)
        corners = ((rectangle.left, rectangle.top), (rectangle.right, rectangle.bottom))
        (x1, y1), (x2, y2) = (
            (_shown(sheet, width, height, *corner) for corner in corners) if boxed else ((0, 0), (0, 0))
        )
        yield page, character, (min(x1, x2) / _FINE, min(y1, y2) / _FINE, max(x1, x2) / _FINE, max(y1, y2) / _FINE)


def _shown(sheet: Any, width: int, height: int, x: float, y: float) -> tuple[int, int]:
    """A place of the file's own coordinates in those of the page as it is shown, turned and cut as its file says."""
    from pypdfium2 import raw

    across, down = ctypes.c_int(), ctypes.c_int()
    raw.FPDF_PageToDevice(sheet, 0, 0, width, height, 0, x, y, across, down)
    return across.value, down.value
