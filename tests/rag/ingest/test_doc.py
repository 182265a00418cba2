"""Word files of before 2007, put together byte by byte as [MS-DOC] says, and what else has that suffix."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import docx
import pytest

from rag.core.errors import IngestError
from rag.ingest import ParsedDocument, Reader, SourceFile
from rag.ingest.doc import parse
from rag.ingest.types import ReadError
from tests.rag.ingest.conftest import Noted
from tests.rag.ingest.test_office import compound

At = Callable[..., SourceFile]
HEAD = 1024
ONE_BYTE = 0x4000_0000


def word(
    pieces: Sequence[tuple[str, bool]],
    *,
    parts: Sequence[int] = (),
    magic: int = 0xA5EC,
    flags: int = 0x0200,
    repeat: int = 1,
    table: bytes | None = None,
) -> bytes:
    """A file whose text lies in pieces, each wide (UTF-16) or of one byte a character.

    `parts`: characters of text, footnotes, headers, macros, comments, endnotes, boxes and boxes of headers; all of it is
    text where they are not given. `repeat`: how often the table names each piece. `table`: instead of the one that fits.
    """
    body, ends, places = b"", [0], b""
    for text, wide in pieces:
        place = HEAD + len(body)
        body += text.encode("utf-16-le" if wide else "cp1252")
        for _ in range(repeat):
            ends.append(ends[-1] + len(text))
            places += struct.pack("<HIH", 0, place if wide else 2 * place | ONE_BYTE, 0)
    changes = b"\x01" + struct.pack("<H", 3) + b"xyz"
    cuts = struct.pack(f"<{len(ends)}I", *ends) + places
    table = changes + b"\x02" + struct.pack("<I", len(cuts)) + cuts if table is None else table
    head = bytearray(HEAD)
    struct.pack_into("<H", head, 0, magic)
    struct.pack_into("<H", head, 0x0A, flags)
    struct.pack_into("<8i", head, 0x4C, *[*parts, *[0] * 8][:8] if parts else [ends[-1], *[0] * 7])
    struct.pack_into("<2I", head, 0x01A2, 0, len(table))
    return compound({"WordDocument": bytes(head) + body, "1Table" if flags & 0x0200 else "0Table": table})


def text_of(data: bytes) -> str:
    (document,) = parse(data, "a.doc", Noted())
    return document.text


@pytest.mark.parametrize("flags", [0x0200, 0])
def test_text_lies_in_pieces_of_two_kinds(flags: int) -> None:
    data = word([("Grüße “an” alle\rЗа", True), (" und – €\rTschüß", False)], flags=flags)
    assert text_of(data) == "Grüße “an” alle\n\nЗа und – €\n\nTschüß"


def test_rows_fields_and_marks() -> None:
    text = (
        'See \x13HYPERLINK "x" \x14the \x13PAGE\x14page\x15 here\x15.\rDay\x07Open\x07\x07Friday\x078:30\x07\x07'
        "one\x0btwo\x0cnext\x1eday\x1f\x01\x08\r\x13TOC\x15end"
    )
    assert text_of(word([(text, True)])) == (
        "See the page here.\n\nDay | Open\n\nFriday | 8:30\n\none\ntwo\n\nnext-day\n\nend"
    )


def test_headers_and_comments_are_not_read_and_notes_are() -> None:
    parts = ["Body.\r", "Footnote.\r", "Header.\r", "", "Comment.\r", "Endnote.\r", "Box.\r", "Box above.\r"]
    data = word([("".join(parts), True)], parts=list(map(len, parts)))
    assert text_of(data) == "Body.\n\nFootnote.\n\nEndnote.\n\nBox."


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (word([("x", True)], flags=0x0300), "encrypted; open it in a word processor and save it as .docx, without"),
        (word([("x", True)], magic=0xA5DC), "of before Word 97; open it in a word processor and save it as .docx"),
        (word([("x", True)], table=b"\x00"), "damaged: it has no table of pieces"),
        (word([("x", True)], table=b"\x02" + struct.pack("<I", 1 << 31)), "damaged: its table of pieces ends early"),
        (word([("x", True)], table=b"\x02" + struct.pack("<I", 0)), "damaged: its table of pieces ends early"),
        (word([("x" * 3_000, False)], repeat=50), "damaged: its pieces are longer than the file"),
        (compound({"Workbook": b"x"}), "not a Word file, whatever its name says"),
        (compound({"WordDocument": b"\xec\xa5" + bytes(10)}), "damaged: it has no 0Table"),
    ],
)
def test_what_cannot_be_read_says_what_to_do(data: bytes, reason: str) -> None:
    with pytest.raises(ReadError) as error:
        text_of(data)
    assert str(error.value).startswith(reason)
    assert "save it as .docx" in str(error.value)


def test_fields_that_never_close_hide_nothing_behind_their_result() -> None:
    assert text_of(word([("\x13\x14a" * 20_000 + "\x14\x15\x15end", False)])) == "a" * 20_000 + "end"


def _docx() -> bytes:
    file, document = io.BytesIO(), docx.Document()
    document.add_paragraph("Hello.")
    document.save(file)
    return file.getvalue()


@pytest.mark.parametrize(
    "data",
    [_docx(), rb"{\rtf1\ansi Hello.\par}", b"\n<HTML><body><p>Hello.</p></body></HTML>", b"Hello.\n"],
    ids=["docx", "rich text", "html", "plain text"],
)
def test_other_formats_of_that_suffix_are_read_as_what_they_are(data: bytes) -> None:
    assert text_of(data) == "Hello."


def test_it_is_read_in_its_process(tmp_path: Path, at: At, reader: Reader) -> None:
    (tmp_path / "on-call.doc").write_bytes(word([("Ring twice.", False)]))
    document: ParsedDocument
    (document,) = reader.read(at(tmp_path / "on-call.doc"))
    assert (document.doc_id, document.title, document.text) == ("on-call.doc", "on call", "Ring twice.")
    (tmp_path / "odd.doc").write_bytes(bytes(range(256)) * 8)
    with pytest.raises(IngestError, match=r"odd.doc: binary, not text"):
        reader.read(at(tmp_path / "odd.doc"))
