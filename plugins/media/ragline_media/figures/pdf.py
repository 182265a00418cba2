"""Pictures in PDF files, as they are drawn: said of them is the text below, else that above."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from typing import Any

from rag.reading import Beside, Note, ParsedDocument, ReadError
from ragline_media.figures.documents import LEAST_SIDE, Figure, documents
from ragline_media.reading.picture import MOST_PIXELS

_STRIP = 54.0
"""Points below a picture in which its caption stands, and above it in which the text before does."""
_BESIDE = 72.0
"""Points on each side by which a caption may be wider than its picture, if that is no small one."""
_WHOLE = 0.85
"""Of a page; a picture that covers more is a scan of it."""
_LEAST = 36.0
"""Points of its shorter side."""
_DEEP = 3


def figures(data: bytes, name: str, note: Note, beside: Beside) -> Iterator[ParsedDocument]:
    """A document for each; drawings of lines are none.

    Raises:
        ReadError: it cannot be opened.
    """
    return documents(_found(data), name, note, beside)


def _found(data: bytes) -> Iterator[Figure]:
    import pypdfium2
    from pypdfium2 import raw

    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as cause:
        raise ReadError(f"it cannot be opened: {cause}") from None
    try:
        for number in range(1, len(document) + 1):
            try:
                page = document[number - 1]
                text, (width, height) = page.get_textpage(), page.get_size()
                for each in page.get_objects(filter=(raw.FPDF_PAGEOBJ_IMAGE,), max_depth=_DEEP):
                    left, bottom, right, top = each.get_bounds()
                    large = (right - left) * (top - bottom) > _WHOLE * width * height
                    if large or min(right - left, top - bottom) < _LEAST or min(each.get_px_size()) < LEAST_SIDE:
                        continue
                    beside = min(_BESIDE, (right - left) / 2)
                    left, right = max(0, left - beside), min(width, right + beside)
                    below = text.get_text_bounded(left, max(0, bottom - _STRIP), right, bottom)
                    above = text.get_text_bounded(left, top, right, min(height, top + _STRIP))
                    yield Figure(data=_drawn(each), said=below, before=above, page=number)
            except pypdfium2.PdfiumError:
                continue  # what of the page could be read was read as text
    finally:
        document.close()


def _drawn(image: Any) -> bytes:
    """A picture as a PNG, in its own pixels; none where it has too many of them, or cannot be drawn."""
    import pypdfium2

    if math.prod(image.get_px_size()) > MOST_PIXELS:
        return b""
    try:
        picture = image.get_bitmap(render=True, scale_to_original=True).to_pil().convert("RGB")
    except (pypdfium2.PdfiumError, MemoryError):
        return b""
    stream = io.BytesIO()
    picture.save(stream, "PNG", compress_level=1)
    return stream.getvalue()
