"""Mailboxes: mails one after another in one file, each a document.

The standard library's `mailbox` is not used: it opens files to write to them, reads none that is packed, and takes a
mail whole however long it is.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace

from rag.ingest import mail
from rag.ingest.clean import Cleaner
from rag.ingest.layout import LINE
from rag.ingest.records import DistinctIds
from rag.ingest.tally import Tally
from rag.ingest.types import Limits, Note, ParsedDocument, ReadError, SourceFile
from rag.ingest.unpack import damage_told, opened, require_ratio

_BEGINS = b"From "


def stream(
    file: SourceFile, *, limits: Limits, note: Note, content: io.BufferedReader | None = None
) -> Iterator[ParsedDocument]:
    """A document for every mail, named `file:id` by its Message-ID, or `file:position`.

    Args:
        content: what the file holds, where it is a part of another one.
    Raises:
        ReadError: no mailbox, no mail in it that can be read, damaged compression, or a limit is passed.
    """
    clean, ids, tally, n_read = Cleaner(), DistinctIds(), Tally(), 0
    with damage_told(), content or opened(file.path) as box:
        for position, (data, whole) in enumerate(_mails(box, file.path.stat().st_size, limits), start=1):
            place = f"in mail {position}"
            if not whole:
                tally.add(f"mails cut after {limits.record_bytes:,} bytes", place, lost=True)
            document = _document(data, file.name, position, clean, tally)
            if document is not None:
                n_read += 1
                yield ids.distinct(document)
    if not n_read:
        raise ReadError("; ".join(["no mail in it", *(line for line, _ in tally.lines())]))
    tally.tell(note)
    ids.tell(note)
    clean.tell(note)


def _document(data: bytes, name: str, position: int, clean: Cleaner, tally: Tally) -> ParsedDocument | None:
    """None for a mail that cannot be read, which is counted."""

    def note(reason: str, *, lost: bool = False) -> None:
        tally.add(reason, f"in mail {position}", lost=lost)

    try:
        document = mail.document(data, name, note, clean)
    except (ReadError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as cause:  # a broken mail
        said = str(cause) if isinstance(cause, ReadError) else type(cause).__name__
        note(f"mails left out: {said}", lost=True)
        return None
    own = str(document.metadata.get("message_id", "")).strip("<>")[:LINE]
    return replace(document, doc_id=f"{name}:{own or position}")


def _mails(box: io.BufferedReader, packed: int, limits: Limits) -> Iterator[tuple[bytes, bool]]:
    """Each mail, and whether it is whole. One begins at a line `From ...` after an empty one, or with the file.

    `>From` in a text, which stands for `From`, is read so.
    """
    held, any_mail, empty, whole, read = bytearray(), False, True, True, 0
    while line := box.readline(limits.record_bytes):
        read += len(line)
        if read > limits.corpus_bytes:
            raise ReadError(f"more than {limits.corpus_bytes:,} bytes unpacked; raise corpus_bytes to read it")
        require_ratio(read, packed, limits)
        if empty and line.startswith(_BEGINS):
            if any_mail:
                yield bytes(held), whole
            held, any_mail, whole = bytearray(), True, True
        elif any_mail:
            line = line[1:] if line.startswith(b">") and line.lstrip(b">").startswith(_BEGINS) else line
            whole = whole and len(held) + len(line) <= limits.record_bytes
            held += line if whole else b""
        elif line.strip():
            raise ReadError("not a mailbox: its first line does not begin with 'From '")
        empty = not line.strip(b"\r\n")
    if any_mail:
        yield bytes(held), whole
