"""Word files of before 2007, from Word 97 on, through olefile: the text, by the table of its pieces ([MS-DOC], 2.4.1).

What makes a paragraph a heading is in styles, which are not read: the text has paragraphs and rows of tables alone. Many
a .doc is something else by content: rich text, HTML, a .docx or plain text. It is read as what it is.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterable, Iterator
from itertools import accumulate, pairwise

from rag.ingest import docx, html, plain, rtf
from rag.ingest.layout import Layout
from rag.ingest.types import Note, ParsedDocument, ReadError

_WORD_97, _ENCRYPTED, _SECOND_TABLE = 0xA5EC, 0x0100, 0x0200
_FLAGS, _LENGTHS, _PIECES = 0x0A, 0x4C, 0x01A2
"""Where in the head: flags; characters of the parts of the text; place and size of the table of pieces."""
_READ = (True, True, False, False, False, True, True, False)
"""Of its parts: the text, footnotes; not headers, macros and comments; endnotes, boxes; not boxes of headers."""
_ONE_BYTE = 0x4000_0000
_FIELD = re.compile("([\x13\x14\x15])")
_MARKS = str.maketrans({
    "\x07": " | ", "\x0b": "\n", "\x0c": "\r", "\x0e": "\r", "\x1e": "-", "\x1f": None,
    **dict.fromkeys("\x00\x01\x02\x03\x04\x05\x06\x08", None),
})  # fmt: skip
_SAVE = "open it in a word processor and save it as .docx"


def parse(data: bytes, name: str, note: Note) -> Iterable[ParsedDocument]:
    """One document, titled by the file's name.

    Raises:
        ReadError: encrypted, of before Word 97, or damaged.
    """
    import olefile

    start = data[:1024].lstrip().lower()
    if data.startswith(olefile.MAGIC):
        return _parse(data, name, note)
    if data.startswith(b"PK"):
        return docx.parse(data, name, note)
    if start.startswith(b"{\\rtf"):
        return rtf.parse(data, name, note)
    if start.startswith(b"<") and b"<html" in start:
        return html.parse(data, name, note)
    return plain.parse(data, name, note)


def _parse(data: bytes, name: str, note: Note) -> list[ParsedDocument]:
    import olefile

    with olefile.OleFileIO(io.BytesIO(data)) as file:
        if not file.exists("WordDocument"):
            raise ReadError(f"not a Word file, whatever its name says; {_SAVE}")
        stream = file.openstream("WordDocument").read()
        (flags,) = _numbers("<H", stream, _FLAGS)
        if _numbers("<H", stream, 0)[0] != _WORD_97:
            raise ReadError(f"of before Word 97; {_SAVE}")
        if flags & _ENCRYPTED:
            raise ReadError(f"encrypted; {_SAVE}, without a password")
        table = "1Table" if flags & _SECOND_TABLE else "0Table"
        if not file.exists(table):
            raise ReadError(f"damaged: it has no {table}; {_SAVE}")
        place, size = _numbers("<2I", stream, _PIECES)
        text = "".join(_pieces(stream, file.openstream(table).read()[place : place + size]))
    layout = Layout()
    for paragraph in "".join(_shown(_kept(text, _numbers("<8i", stream, _LENGTHS)))).split("\r"):
        layout.block(paragraph)
    layout.tell(note)
    return [layout.document(name)]


def _numbers(form: str, data: bytes, place: int) -> tuple[int, ...]:
    try:
        return struct.unpack_from(form, data, place)
    except struct.error:
        raise ReadError(f"damaged: it ends early; {_SAVE}") from None


def _pieces(stream: bytes, table: bytes) -> Iterator[str]:
    """The text, piece by piece. Pieces that are together longer than the file do not come of Word, and end it."""
    at = 0
    while table[at : at + 1] == b"\x01":  # changes of form, which pieces may refer to
        at += 3 + _numbers("<H", table, at + 1)[0]
    if table[at : at + 1] != b"\x02":
        raise ReadError(f"damaged: it has no table of pieces; {_SAVE}")
    count = (_numbers("<I", table, at + 1)[0] - 4) // 12
    if not 0 < count <= len(table) // 12:
        raise ReadError(f"damaged: its table of pieces ends early; {_SAVE}")
    ends = _numbers(f"<{count + 1}I", table, at + 5)
    left = len(stream)
    for number, (first, last) in enumerate(pairwise(ends)):
        (where,) = _numbers("<I", table, at + 5 + 4 * (count + 1) + 8 * number + 2)
        wide = not where & _ONE_BYTE
        size = (last - first) * (2 if wide else 1)
        if not 0 <= size <= left:
            raise ReadError(f"damaged: its pieces are longer than the file; {_SAVE}")
        left -= size
        begin = where & ~_ONE_BYTE if wide else (where & ~_ONE_BYTE) // 2
        yield stream[begin : begin + size].decode("utf-16-le" if wide else "cp1252", "replace")


def _kept(text: str, lengths: tuple[int, ...]) -> str:
    """The parts of the text that are read."""
    ends = accumulate(max(0, length) for length in lengths)
    parts = ((end - max(0, length), end) for end, length in zip(ends, lengths, strict=True))
    return "\r".join(text[start:end] for (start, end), read in zip(parts, _READ, strict=True) if read)


def _shown(text: str) -> Iterator[str]:
    """The text without what makes fields, of which the result is read, as of links."""
    makes, n_makes = list[bool](), 0  # for each open field, whether what makes it stands here; how many do
    for part in _FIELD.split(text.replace("\x07\x07", "\r")):
        if part == "\x13":
            makes.append(True)
            n_makes += 1
        elif part in ("\x14", "\x15"):
            n_makes -= makes.pop() if makes else False
            makes += [False] if part == "\x14" else []
        elif not n_makes:
            yield part.translate(_MARKS)
