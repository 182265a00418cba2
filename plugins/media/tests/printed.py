"""PDF files of known text: each line at a known place of its page."""

from __future__ import annotations

import io
from collections.abc import Sequence

from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

WIDTH, HEIGHT = 595, 842
LEFT, TOP, LEADING, SIZE = 60, 60, 14, 11
"""Points: where the first line begins, from one line to the next, and the height of letters."""


def printed(pages: Sequence[Sequence[str] | bytes], *, rotate: int = 0, crop: int = 0) -> bytes:
    """Lines of each page, or its content stream, as a PDF in Helvetica.

    `rotate`: degrees by which it is turned when it is shown. `crop`: points that are cut off on each side.
    """
    writer = PdfWriter()
    font = {"/Type": NameObject("/Font"), "/Subtype": NameObject("/Type1"), "/BaseFont": NameObject("/Helvetica")}
    fonts = DictionaryObject({NameObject("/F1"): DictionaryObject({NameObject(k): v for k, v in font.items()})})
    for lines in pages:
        page = writer.add_blank_page(width=WIDTH, height=HEIGHT)
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        stream = DecodedStreamObject()
        stream.set_data(lines if isinstance(lines, bytes) else _content(lines))
        page[NameObject("/Contents")] = writer._add_object(stream.flate_encode())
        if rotate:
            page.rotate(rotate)
        if crop:
            page.cropbox.lower_left, page.cropbox.upper_right = (crop, crop), (WIDTH - crop, HEIGHT - crop)
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()


def baseline(line: int) -> float:
    """Points from the top of the page to the foot of the letters of a line, counted from 0."""
    return TOP + line * LEADING


def _content(lines: Sequence[str]) -> bytes:
    shown = "".join(f"({line}) Tj T* " for line in lines)
    return f"BT /F1 {SIZE} Tf {LEADING} TL {LEFT} {HEIGHT - TOP} Td {shown}ET".encode("latin-1")
