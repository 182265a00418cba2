"""Contents that a corpus names by where they lie: taken where that is below the corpus and they are what it says, else refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from rag.core.contents import Content
from rag.core.errors import IngestError
from rag.ingest.formats import is_content, parser_of
from rag.ingest.tally import Tally
from rag.ingest.types import Limits, Note, ParsedDocument, ReadError, SourceFile

_KEPT = "sha256:"

ReadFile = Callable[[SourceFile], Iterable[ParsedDocument]]
"""A file that holds no text -> its document, whose bytes are kept on the way."""


def referenced(
    documents: Iterable[ParsedDocument], *, root: Path, read: ReadFile, limits: Limits, note: Note
) -> Iterator[ParsedDocument]:
    """The documents, their contents read from files below `root`. One that is refused is left out of its document, and counted.

    Nothing is fetched, and no link leads out of `root`.
    """
    tally, top = Tally(), root.resolve()
    for document in documents:
        taken = list[tuple[int, Content]]()
        for offset, content in document.contents:
            try:
                taken.append((offset, _taken(content, top, read, limits)))
            except (ReadError, IngestError) as cause:
                tally.add(f"contents left out: {cause}", f"in {document.doc_id[:80]!r}", lost=True)
        yield replace(document, contents=tuple(taken)) if document.contents else document
    tally.tell(note)


def _taken(content: Content, root: Path, read: ReadFile, limits: Limits) -> Content:
    if content.uri.startswith(_KEPT):
        raise ReadError("bytes that nobody gave; name a file below the corpus")
    address = urlsplit(content.uri)
    if address.scheme not in ("", "file") or address.netloc not in ("", "localhost"):
        raise ReadError("an address; nothing is fetched, name a file below the corpus")
    path = unquote(address.path) if address.scheme else content.uri
    try:
        file = (root / path).resolve(strict=True)
        if not file.is_relative_to(root):
            raise ReadError("a file outside the folder of the corpus")
        if not file.is_file() or file.stat().st_size > limits.file_bytes:
            raise ReadError(f"not a regular file of at most {limits.file_bytes:,} bytes")
        if hashlib.sha256(file.read_bytes()).hexdigest() != content.sha256:
            raise ReadError("a file with another sha256 than the corpus says")
    except (OSError, ValueError, RuntimeError):
        raise ReadError("a file that is not there or cannot be read") from None
    if not is_content(parser_of(file.name)):
        raise ReadError("a file of a kind that nothing here reads as a content")
    found = [own for document in read(SourceFile(path=file, name=file.name, size=0)) for _, own in document.contents]
    if len(found) != 1 or found[0].kind != content.kind:
        raise ReadError(f"a file that is no {content.kind}")
    return replace(found[0], text=content.text, metadata={**found[0].metadata, **content.metadata})
