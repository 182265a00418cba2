"""The process that parses: one request a line on stdin, one answer a line on stdout, both JSON.

It takes hostile files through large parsers, so it has a bound on memory and time and can write no file. A
parser is imported when it is first needed.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

from rag.core.contents import content_json, read_content
from rag.ingest.metadata import capped
from rag.ingest.types import Block, ParsedDocument, ReadError

MODULES = {
    "plain": "plain",
    "code": "code",
    "markdown": "markdown",
    "html": "html",
    "pdf": "pdf",
    "docx": "docx",
    "csv": "tables",
}


def main() -> None:
    """Answer until stdin ends. What parsers print goes nowhere."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    _confine(int(sys.argv[1]))
    answers.write("ready\n")
    answers.flush()
    serve(sys.stdin, answers)


def serve(requests: TextIO, answers: TextIO) -> None:
    """Each request: `path`, `name`, `parser` (a key of `MODULES`) and whole `seconds`."""
    for line in requests:
        request = json.loads(line)
        signal.alarm(request["seconds"] + 5)  # the asking process kills sooner; this is for when it is gone
        answer = _answer(request)
        signal.alarm(0)
        answers.write(answer + "\n")
        answers.flush()


def parse(parser: str, path: Path, name: str, note: Callable[..., None]) -> list[ParsedDocument]:
    """What the named parser makes of a file.

    Raises:
        ReadError: it is empty, has no text, or the parser says why it cannot read it.
    """
    data = path.read_bytes()
    if not data.strip():
        raise ReadError("empty")
    documents = list(capped(import_module(f"rag.ingest.{MODULES[parser]}").parse(data, name, note), note))
    if not any(document.text.strip() for document in documents):
        raise ReadError("no text in it")
    return documents


def _confine(memory_bytes: int) -> None:
    for kind, limit in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def _answer(request: Mapping[str, Any]) -> str:
    notes: list[tuple[str, bool]] = []

    def note(reason: str, *, lost: bool = False) -> None:
        notes.append((reason, lost))

    try:
        documents = parse(request["parser"], Path(request["path"]), request["name"], note)
        return json.dumps({"documents": [pack(document) for document in documents], "notes": notes})
    except MemoryError:
        return json.dumps({"memory": True})
    except ReadError as cause:
        return json.dumps({"error": str(cause)})
    except Exception as cause:  # on hostile input parsers raise anything
        kind = type(cause).__name__
        return json.dumps({"error": f"the {request['parser']} parser gave up: {kind}: {str(cause)[:200]}"})


def pack(document: ParsedDocument) -> dict[str, Any]:
    """A document as JSON; `unpack` is its inverse."""
    return {
        "doc_id": document.doc_id,
        "title": document.title,
        "text": document.text,
        "blocks": [[b.start, b.end, b.headings, b.page, b.lines] for b in document.blocks],
        "metadata": document.metadata,
        "contents": [[offset, content_json(content)] for offset, content in document.contents],
    }


def unpack(packed: Mapping[str, Any]) -> ParsedDocument:
    """A document from what `pack` made of it."""
    blocks = tuple(
        Block(start=start, end=end, headings=tuple(headings), page=page, lines=lines)
        for start, end, headings, page, lines in packed["blocks"]
    )
    return ParsedDocument(
        doc_id=packed["doc_id"],
        title=packed["title"],
        text=packed["text"],
        blocks=blocks,
        metadata=packed["metadata"],
        contents=tuple((offset, read_content(content)) for offset, content in packed["contents"]),
    )
