"""Mail through the email package: who, when and about what as metadata, then the text."""

from __future__ import annotations

from collections.abc import Iterator
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import parsedate_to_datetime
from typing import Any, cast

from rag.ingest.clean import Cleaner, decode, decoded_as
from rag.ingest.html import write
from rag.ingest.layout import Layout
from rag.ingest.types import Note, ParsedDocument, ReadError, own_fields

_HEADERS = {"From": "from", "To": "to", "Cc": "cc", "Date": "date", "Message-ID": "message_id"}
_DEEPEST = 8
"""Mails within mails that are read."""
_HEADER = 4_096
"""Characters of a header that are read. The email package takes time by the square of them."""


def _policy(cut: set[str]) -> EmailPolicy:
    """The package's own, of headers that are not endless. Names of those that were go to `cut`."""

    class _Short(EmailPolicy):
        def header_fetch_parse(self, name: str, value: str) -> Any:
            if len(value) > _HEADER:
                cut.add(name)
            return super().header_fetch_parse(name, value[:_HEADER])

    return _Short()


def parse(data: bytes, name: str, note: Note) -> list[ParsedDocument]:
    """One document, titled by the subject.

    Raises:
        ReadError: it has no header of a mail.
    """
    clean = Cleaner()
    documents = [document(data, name, note, clean)]
    clean.tell(note)
    return documents


def document(data: bytes, name: str, note: Note, clean: Cleaner) -> ParsedDocument:
    """A mail, titled by the subject. Of alternatives the plain text is read; attachments are named.

    Args:
        clean: tells itself what it mended, which may be in many mails.
    Raises:
        ReadError: it has no header of a mail.
    """
    layout = Layout(clean)
    cut = set[str]()
    mail = cast(EmailMessage, message_from_bytes(data.lstrip(), policy=_policy(cut)))
    metadata = {key: layout.clean.line(_header(mail, header)) for header, key in _HEADERS.items()}
    sent = _moment(metadata["date"])
    subject = layout.clean.line(_header(mail, "Subject"))
    if not subject and not any(metadata.values()):
        raise ReadError("not a mail: it has no From, To, Date or Subject")
    layout.block(f"Subject: {subject}" if subject else "", tight=True)
    for header in ("From", "To", "Date"):
        value = metadata[_HEADERS[header]]
        layout.block(f"{header}: {value}" if value else "", tight=True)
    _body(mail, layout, note, depth=0)
    if cut:
        note(f"headers cut after {_HEADER:,} characters: {', '.join(sorted(cut))[:200]}", lost=True)
    layout.repeated.tell(note)
    said = {key: value for key, value in {**metadata, "date": sent}.items() if value}
    return layout.document(name, title=subject, metadata=own_fields(said))


def _moment(date: str) -> str:
    """The date as filters compare it, ISO 8601; as it stands where it cannot be understood."""
    try:
        return parsedate_to_datetime(date).isoformat()
    except (ValueError, TypeError, IndexError, OverflowError):
        return date


def _body(mail: EmailMessage, layout: Layout, note: Note, *, depth: int) -> None:
    if depth > _DEEPEST:
        note(f"mails within more than {_DEEPEST} mails left out", lost=True)
        return
    for part in _parts(mail):
        kind = part.get_content_type()
        if kind == "message/rfc822":
            inner = part.get_payload()
            for each in inner if isinstance(inner, list) else []:
                layout.heading(depth + 1, _header(cast(EmailMessage, each), "Subject"))
                _body(cast(EmailMessage, each), layout, note, depth=depth + 1)
        elif part.get_content_maintype() == "text" and part.get_content_disposition() != "attachment":
            text = _text(part, note)
            if kind == "text/html":
                write(layout.clean(text), layout)
            else:
                for paragraph in layout.clean(text).split("\n\n"):
                    layout.block(paragraph)
        elif file := layout.clean.line(str(part.get_filename() or "")):
            layout.block(f"Attachment: {file}", tight=True)


def _parts(mail: EmailMessage) -> Iterator[EmailMessage]:
    """Parts that are no container, of alternatives the first that is plain text, else the last."""
    todo: list[EmailMessage] = [mail]
    while todo:
        part = todo.pop()
        inner = part.get_payload()
        if part.get_content_type() == "message/rfc822" or not isinstance(inner, list):
            yield part
            continue
        parts = [cast(EmailMessage, each) for each in inner]
        if part.get_content_type() == "multipart/alternative" and parts:
            parts = [next((each for each in parts if each.get_content_type() == "text/plain"), parts[-1])]
        todo.extend(reversed(parts))


def _text(part: EmailMessage, note: Note) -> str:
    content = part.get_payload(decode=True)
    if not isinstance(content, bytes):
        return ""
    text = decoded_as(content, part.get_content_charset() or "utf-8")
    return text if text is not None else decode(content, note) if content.strip() else ""


def _header(mail: EmailMessage, name: str) -> str:
    """A header's text; empty where it is absent or breaks the package's own reading."""
    try:
        return str(mail.get(name, ""))
    except Exception:  # damaged addresses and encodings raise many kinds
        return ""
