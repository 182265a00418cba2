"""The process that parses: one request a line on stdin, frames of an answer a line each on stdout, all JSON.

It takes hostile files through large parsers, so it has a bound on memory and time and can write no file. A
parser is imported when it is first needed. A frame holds documents, or a stretch of a long one, of about a million
characters at most; the last one of an answer has `done`, `error` or `memory`. No frame is made before there is room
in the pipe for the one before, so that neither process holds more of a file than that. Before a page is read as a
picture there is a frame `page`, so that the other side knows what the time goes into.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

from rag.core.contents import content_json, read_content
from rag.core.plugins import loaded, shipped
from rag.ingest.bounds import bounded
from rag.ingest.formats import FIGURES, is_content
from rag.ingest.metadata import capped
from rag.ingest.ocr import PageReader, lines_of
from rag.ingest.parsers import STREAMS, parsed, streamed
from rag.ingest.stretches import stretched
from rag.ingest.types import Beside, Block, Cell, Kept, Limits, Note, ParsedDocument, ReadError, SourceFile
from rag.ingest.unpack import caption_of, content_of

_FRAME = 1 << 18
"""Characters after which a frame is sent."""
_LITTLE = 4 << 20
"""Bytes without which an import fails in many ways."""


def main() -> None:
    """Answer until stdin ends. What parsers print goes nowhere."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    _confine(int(sys.argv[1]))
    answers.write("ready\n")
    answers.flush()
    serve(sys.stdin, answers)


def serve(requests: TextIO, answers: TextIO) -> None:
    """Each request: `path`, `name`, `layout`, `parser` (see `rag.ingest.parsers`), `limits`, `ocr` and `seconds`
    of the processor's time; or `path`, `function` and what that is `asked` (see `Reader.call`)."""
    for line in requests:
        request = json.loads(line)
        # The processor's time, which neither waiting nor a busy machine takes. At its end the system ends this process.
        signal.setitimer(signal.ITIMER_PROF, request["seconds"])
        for frame in _frames(request, partial(_page_begins, request, answers)):
            _send(frame, answers)
        signal.setitimer(signal.ITIMER_PROF, 0)


def _send(frame: str, answers: TextIO) -> None:
    answers.write(frame + "\n")
    answers.flush()


def _page_begins(request: Mapping[str, Any], answers: TextIO) -> None:
    """Give time for it, and tell the other side, which waits longer then."""
    left, _ = signal.getitimer(signal.ITIMER_PROF)
    signal.setitimer(signal.ITIMER_PROF, left + request["limits"]["ocr_seconds"])
    _send(json.dumps({"page": True}), answers)


def parse(
    parser: str,
    file: SourceFile,
    limits: Limits,
    note: Note,
    *,
    begins: Callable[[], None],
    ocr: bool = False,
    figures: bool = False,
    wordless: bool = False,
) -> Iterator[ParsedDocument]:
    """What the named parser makes of a file, long documents in stretches.

    Args:
        begins: called before each piece of work that takes seconds, such as a page of a PDF that is read as a picture.
        ocr: whether such pages are read, and pictures.
        figures: whether pictures and tables in it are read, in place of its text.
        wordless: whether it may be without text, as these are read behind it.
    Raises:
        ReadError: it is empty, has no text, or the parser says why it cannot read it.
    """
    if parser in STREAMS:
        documents = streamed(parser, file, limits, note)
    else:
        data = content_of(file.path, limits)
        more: dict[str, Any] = {"ocr": PageReader(data, limits, begins)} if parser == "pdf" and ocr else {}
        beside = Beside(
            caption=caption_of(file.caption, limits), begins=begins, lines=partial(_lines, begins) if ocr else None
        )
        more |= {"beside": beside} if is_content(parser) else {}
        if figures:
            module = import_module(shipped(FIGURES)[parser].component)
            documents = module.figures(data, file.name, note, beside)
        else:
            documents = parsed(parser, data, file.name, note, **more)
    any_text = False
    size = file.path.stat().st_size
    for document in bounded(stretched(capped(documents, note)), size_bytes=size, limits=limits, note=note):
        any_text = any_text or bool(document.text.strip() or document.contents)
        yield document
    if not any_text and not (figures or wordless):
        raise ReadError("no text in it")


def _lines(begins: Callable[[], None], picture: Any) -> list[list[Cell]]:
    begins()
    return lines_of(picture)


def _confine(memory_bytes: int) -> None:
    for kind, limit in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def _frames(request: Mapping[str, Any], begins: Callable[[], None]) -> Iterator[str]:
    notes: list[tuple[str, bool]] = []

    def note(reason: str, *, lost: bool = False) -> None:
        notes.append((reason, lost))

    parser = request.get("parser", "")
    try:
        if function := request.get("function"):
            parser, data = function, content_of(Path(request["path"]), Limits(**request["limits"]))
            yield json.dumps({"made": loaded(function)(data, **request["asked"]), "done": True})
            return
        caption = Path(request["caption"]) if request.get("caption") else None
        file = SourceFile(
            path=Path(request["path"]), name=request["name"], size=0, layout=request["layout"], caption=caption
        )
        packed, size = list[dict[str, Any]](), 0
        for document in parse(
            parser,
            file,
            Limits(**request["limits"]),
            note,
            begins=begins,
            **{name: bool(request.get(name)) for name in ("ocr", "figures", "wordless")},
        ):
            packed.append(pack(document))
            size += len(document.text) + sum(len(each.data) for each in document.kept)
            if size >= _FRAME:
                yield json.dumps({"documents": packed})
                packed, size = [], 0
        yield json.dumps({"documents": packed, "notes": notes, "done": True})
    except MemoryError:
        yield json.dumps({"memory": True})
    except ReadError as cause:
        yield json.dumps({"error": str(cause)})
    except Exception as cause:  # on hostile input parsers raise anything
        if _starved():  # some libraries, and the import of any, make another error of one of memory
            yield json.dumps({"memory": True})
        else:
            yield json.dumps({"error": f"the {parser} parser gave up: {type(cause).__name__}: {str(cause)[:200]}"})


def _starved() -> bool:
    """Whether little is left of the bound on memory. While an error is handled, what its parser held is still there."""
    try:
        bytearray(_LITTLE)
    except MemoryError:
        return True
    return False


def pack(document: ParsedDocument) -> dict[str, Any]:
    """A document as JSON; `unpack` is its inverse."""
    return {
        "doc_id": document.doc_id,
        "title": document.title,
        "text": document.text,
        "blocks": [[b.start, b.end, b.headings, b.page, b.lines, b.ocr] for b in document.blocks],
        "metadata": document.metadata,
        "whole": document.whole,
        "contents": [[offset, content_json(content)] for offset, content in document.contents],
        "offset": document.offset,
        "boxes": document.boxes,
        **(
            {"kept": [[_encoded(each.data), _encoded(each.thumbnail)] for each in document.kept]}
            if document.kept
            else {}
        ),
    }


def unpack(packed: Mapping[str, Any]) -> ParsedDocument:
    """A document from what `pack` made of it."""
    blocks = tuple(
        Block(start=start, end=end, headings=tuple(headings), page=page, lines=lines, ocr=ocr)
        for start, end, headings, page, lines, ocr in packed["blocks"]
    )
    return ParsedDocument(
        doc_id=packed["doc_id"],
        title=packed["title"],
        text=packed["text"],
        blocks=blocks,
        metadata=packed["metadata"],
        whole=packed["whole"],
        offset=packed["offset"],
        boxes=tuple(map(tuple, packed["boxes"])),
        contents=tuple((offset, read_content(content)) for offset, content in packed["contents"]),
        kept=tuple(Kept(data=b64decode(data), thumbnail=b64decode(small)) for data, small in packed.get("kept", ())),
    )


def _encoded(data: bytes) -> str:
    return b64encode(data).decode("ascii")
