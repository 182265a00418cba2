"""Zip archives, read as a folder of files: each by its own parser, and in memory alone.

What a file in it would be passed over for in a folder, it is passed over for here. What cannot be read costs no other
file, and is counted.
"""

from __future__ import annotations

import io
import stat
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import cast
from zipfile import BadZipFile, ZipFile, ZipInfo

from rag.ingest import slack
from rag.ingest.discover import passed_over, printable
from rag.ingest.formats import is_content, parser_of
from rag.ingest.parsers import STREAMS, parsed, streamed
from rag.ingest.tally import Tally
from rag.ingest.types import DistinctNames, Limits, Note, ParsedDocument, ReadError, SourceFile
from rag.ingest.unpack import content_of, opened_zip, require_inner_ratio


def stream(file: SourceFile, *, limits: Limits, note: Note) -> Iterator[ParsedDocument]:
    """The documents of its files, in the order of names. They are named as if it was a folder: `a.zip/inner/b.md`.

    Where it is an export of Slack, messages are documents by thread and day.

    Raises:
        ReadError: not a zip archive, above a bound, or nothing in it can be read.
    """
    archive, tally, ids = opened_zip(content_of(file.path, limits), limits), Tally(), DistinctNames()
    doc_id = ""
    for document in _all_documents(archive, file, limits, tally):
        doc_id = doc_id if document.offset else ids(document.doc_id)
        yield replace(document, doc_id=doc_id)
    if not len(ids):
        raise ReadError("; ".join(["nothing in it that can be read", *(line for line, _ in tally.lines())]))
    tally.tell(note)


def _all_documents(archive: ZipFile, file: SourceFile, limits: Limits, tally: Tally) -> Iterator[ParsedDocument]:
    members = {name: member for member, name in _files(archive, limits, tally)}
    export = slack.export_of(members)
    if export is not None:
        yield from slack.documents(export, lambda name: _unpacked(archive, members[name]), file.name, tally)
    for name, member in members.items():
        if export is None or name not in export.names:
            inner = replace(file, name=f"{file.name}/{name}", size=member.file_size)
            yield from _documents(archive, member, inner, limits, tally)


def _files(archive: ZipFile, limits: Limits, tally: Tally) -> Iterator[tuple[ZipInfo, str]]:
    """What is read of it, and under which name. The rest is counted."""
    names = DistinctNames()
    for member in sorted(archive.infolist(), key=lambda each: each.filename):
        path = member.filename.replace("\\", "/")  # as some programs of Windows write it
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if path.endswith("/") or any(passed_over(part) for part in parts if part != ".."):
            continue
        name = printable("/".join(parts))
        if reason := _why_left_out(member, path, limits):
            tally.add(f"{reason} left out", name[:200], lost=True)
        else:
            yield member, names(name)


def _why_left_out(member: ZipInfo, path: str, limits: Limits) -> str:
    """What such files are called; empty for one that is read."""
    reasons = {
        "names that lead out of the archive": path[:1] == "/" or path[1:2] == ":" or ".." in path.split("/"),
        "symbolic links": stat.S_ISLNK(member.external_attr >> 16),
        "encrypted files": bool(member.flag_bits & 1),
        "archives within the archive": path.lower().endswith((".zip", ".gz")),
        "files without a reader": parser_of(path) is None or is_content(parser_of(path)),
        f"files of more than {limits.file_bytes:,} bytes": member.file_size > limits.file_bytes,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _documents(
    archive: ZipFile, member: ZipInfo, inner: SourceFile, limits: Limits, tally: Tally
) -> Iterator[ParsedDocument]:
    """What one file gives, as far as it can be read."""
    place = f"in {inner.name[:200]}"

    def note(reason: str, *, lost: bool = False) -> None:
        tally.add(reason, place, lost=lost)

    parser, any_text = parser_of(member.filename) or "plain", False
    try:
        data = _unpacked(archive, member)
        require_inner_ratio(data, member.compress_size, limits)
        if parser in STREAMS:
            content: io.BufferedReader = io.BufferedReader(cast(io.RawIOBase, io.BytesIO(data)))
            documents = streamed(parser, inner, limits, note, content=content)
        else:
            documents = parsed(parser, data, inner.name, note)
        for document in documents:
            if document.text.strip() or document.offset:
                any_text = True
                yield document
        if not any_text:
            note("files without text", lost=True)
    except ReadError as cause:
        note(f"not read: {cause}", lost=True)
    except MemoryError:
        raise
    except Exception as cause:  # on hostile input parsers raise anything
        note(f"not read: the {parser} parser gave up: {type(cause).__name__}", lost=True)


def _unpacked(archive: ZipFile, member: ZipInfo) -> bytes:
    try:
        return archive.read(member)
    except (BadZipFile, EOFError, RuntimeError, NotImplementedError, OSError, ValueError, zlib.error) as cause:
        raise ReadError(f"cannot be unpacked: {str(cause)[:120]}") from None
