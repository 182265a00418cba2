"""PDF files of known text, files as `discover` would describe them, and notes as a list."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from rag.ingest import Reader, SourceFile

Notes = list[tuple[str, bool]]


class Noted(Notes):
    """A note-taking function that is the list of what it was told."""

    def __call__(self, reason: str, *, lost: bool = False) -> None:
        self.append((reason, lost))


@pytest.fixture
def notes() -> Noted:
    return Noted()


@pytest.fixture
def at() -> Callable[..., SourceFile]:
    def describe(path: Path, **more: str) -> SourceFile:
        return SourceFile(path=path, name=path.name, size=0, **more)  # type: ignore[arg-type]

    return describe


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with Reader(report=lambda problem: None) as shared:
        yield shared


@pytest.fixture(scope="session")
def pdf() -> Callable[..., bytes]:
    """Lines of each page -> a PDF. A page is a list of lines, or the bytes of its content stream.

    `outline`: heading and page from 0; one that begins with `>` is below the last that does not.
    """

    def make(
        pages: Sequence[Sequence[str] | bytes],
        *,
        title: str = "",
        outline: Sequence[tuple[str, int]] = (),
        password: str = "",
        owner: str = "",
    ) -> bytes:
        writer = PdfWriter()
        font = DictionaryObject(
            {
                NameObject("/Type"): NameObject("/Font"),
                NameObject("/Subtype"): NameObject("/Type1"),
                NameObject("/BaseFont"): NameObject("/Helvetica"),
            }
        )
        fonts = DictionaryObject({NameObject("/F1"): font})
        for lines in pages:
            page = writer.add_blank_page(width=595, height=842)
            page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
            stream = DecodedStreamObject()
            stream.set_data(lines if isinstance(lines, bytes) else _content(lines))
            page[NameObject("/Contents")] = writer._add_object(stream.flate_encode())
        if title:
            writer.add_metadata({"/Title": title})
        top = None
        for heading, page_number in outline:
            parent = top if heading.startswith(">") else None
            item = writer.add_outline_item(title=heading.lstrip(">"), page_number=page_number, parent=parent)
            top = top if parent else item
        if password or owner:
            writer.encrypt(user_password=password, owner_password=owner or None, algorithm="RC4-128")
        file = io.BytesIO()
        writer.write(file)
        return file.getvalue()

    return make


def _content(lines: Sequence[str]) -> bytes:
    shown = "".join(f"({line}) Tj T* " for line in lines)
    return f"BT /F1 11 Tf 14 TL 60 780 Td {shown}ET".encode("latin-1")
