"""Mails as Outlook saves them, through olefile: who, when and about what as metadata, then the text.

Of the text the plain form is read, else the HTML; one that is there as compressed rich text alone is not.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from rag.ingest.clean import decode
from rag.ingest.html import write
from rag.ingest.layout import Layout
from rag.ingest.types import Note, ParsedDocument, ReadError, own_fields

if TYPE_CHECKING:
    from olefile import OleFileIO

_SUBJECT, _BODY, _HTML, _SENDER, _ADDRESS, _TO, _CC, _FILE, _SHORT_FILE = (
    "0037", "1000", "1013", "0C1A", "5D01", "0E04", "0E03", "3707", "3704"
)  # fmt: skip
_SENT = 0x0039
_CODE_PAGE = 0x3FFD
_PROPERTIES = "__properties_version1.0"
_EMBEDDED = "__substg1.0_3701000D"
_DEEPEST = 8
"""Mails within mails that are read."""

Place = tuple[str, ...]


def parse(data: bytes, name: str, note: Note) -> list[ParsedDocument]:
    """One document, titled by the subject. Attachments are named; mails among them are read.

    Raises:
        ReadError: not such a file, or with neither text nor subject.
    """
    import olefile

    if not data.startswith(olefile.MAGIC):  # its own test takes short bytes for the path of a file
        raise ReadError("not an Outlook mail, whatever its name says")
    layout = Layout()
    with olefile.OleFileIO(io.BytesIO(data)) as file:
        if not file.exists(_PROPERTIES):
            raise ReadError("not an Outlook mail: it has none of its properties")
        mail = _Mail(file, ())
        subject = layout.clean.line(mail.text(_SUBJECT))
        said = {"from": mail.sender, "to": mail.text(_TO), "cc": mail.text(_CC), "date": mail.sent}
        metadata = {key: line for key, value in said.items() if (line := layout.clean.line(value))}
        for head, value in {"Subject": subject, "From": metadata.get("from"), "To": metadata.get("to")}.items():
            layout.block(f"{head}: {value}" if value else "", tight=True)
        layout.block(f"Date: {metadata['date']}" if "date" in metadata else "", tight=True)
        _write(mail, layout, note, depth=0)
    layout.tell(note)
    return [layout.document(name, title=subject, metadata=own_fields(metadata))]


def _write(mail: _Mail, layout: Layout, note: Note, *, depth: int) -> None:
    if text := mail.text(_BODY):
        for paragraph in layout.clean(text).split("\n\n"):
            layout.block(paragraph)
    elif (markup := mail.binary(_HTML)).strip():
        write(layout.clean(decode(markup, note)), layout)
    for attached in mail.attachments():
        if inner := attached.embedded():
            if depth >= _DEEPEST:
                note(f"mails within more than {_DEEPEST} mails left out", lost=True)
                return
            layout.heading(depth + 1, inner.text(_SUBJECT))
            _write(inner, layout, note, depth=depth + 1)
        elif file := layout.clean.line(attached.text(_FILE) or attached.text(_SHORT_FILE)):
            layout.block(f"Attachment: {file}", tight=True)


class _Mail:
    """A mail or an attachment: the streams of one storage, each named by the property that it holds."""

    def __init__(self, file: OleFileIO, place: Place) -> None:
        self._file, self._place = file, place
        self._fixed = self._fixed_properties()

    @property
    def sender(self) -> str:
        """Name and address."""
        name, address = self.text(_SENDER), self.text(_ADDRESS) or self.text("0C1F")
        return f"{name} <{address}>" if name and "@" in address and name != address else name or address

    @property
    def sent(self) -> str:
        """When, in UTC; empty where it does not say."""
        ticks = int.from_bytes(self._fixed.get(_SENT, b""), "little")
        try:
            moment = datetime(1601, 1, 1, tzinfo=UTC) + timedelta(microseconds=ticks // 10)
        except OverflowError:
            return ""
        return moment.isoformat(timespec="seconds") if ticks else ""

    def text(self, key: str) -> str:
        """A property that is text; empty where it is absent."""
        if wide := self.binary(key, "001F"):
            return wide.decode("utf-16-le", "replace").rstrip("\0")
        page = int.from_bytes(self._fixed.get(_CODE_PAGE, b"")[:4], "little")
        narrow = self.binary(key, "001E")
        try:
            return narrow.decode("utf-8" if page == 65001 else f"cp{page or 1252}", "replace").rstrip("\0")
        except LookupError:
            return narrow.decode("cp1252", "replace").rstrip("\0")

    def binary(self, key: str, kind: str = "0102") -> bytes:
        """A property as its bytes; empty where it is absent."""
        return self._read(f"__substg1.0_{key}{kind}")

    def attachments(self) -> Iterator[_Mail]:
        """In the order of their numbers."""
        here = len(self._place)
        names = {
            each[here]
            for each in self._file.listdir()
            if tuple(each[:here]) == self._place and len(each) > here and each[here].startswith("__attach_version1.0_#")
        }
        return (_Mail(self._file, (*self._place, name)) for name in sorted(names))

    def embedded(self) -> _Mail | None:
        """The mail that this attachment is, if it is one."""
        place = (*self._place, _EMBEDDED)
        return _Mail(self._file, place) if self._file.exists("/".join((*place, _PROPERTIES))) else None

    def _read(self, name: str) -> bytes:
        path = "/".join((*self._place, name))
        if not self._file.exists(path) or self._file.get_type(path) != 2:  # 2: a stream
            return b""
        with self._file.openstream(path) as stream:
            content: bytes = stream.read()
            return content

    def _fixed_properties(self) -> dict[int, bytes]:
        """Numbers and dates: entries of 16 bytes, behind a head whose length depends on where it stands."""
        data = self._read(_PROPERTIES)
        head = 32 if not self._place else 24 if self._place[-1] == _EMBEDDED else 8
        entries = (data[i : i + 16] for i in range(head, len(data) - 15, 16))
        return {int.from_bytes(entry[2:4], "little"): entry[8:] for entry in entries}
