"""Source file -> parsed documents, through the parser that its suffix asks for, under limits."""

from __future__ import annotations

import logging
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

from rag.core.errors import IngestError
from rag.core.plugins import shipped
from rag.ingest import corpora
from rag.ingest.bounds import bounded
from rag.ingest.formats import FIGURES, is_content, reader_of, suffix
from rag.ingest.metadata import capped
from rag.ingest.parsers import of_plugin
from rag.ingest.references import referenced
from rag.ingest.sandbox import Worker
from rag.ingest.stretches import joined
from rag.ingest.types import DEFAULT_LIMITS, Keep, Limits, Note, ParsedDocument, Problem, ReadError, Report, SourceFile
from rag.ingest.unpack import ZIP_BYTES
from rag.ingest.worker import unpack

log = logging.getLogger(__name__)

_BYTES_A_SECOND = 1_000_000
"""A large file has one second more for each of these; a zip archive as if it was as large as it may unpack to."""


def warn(problem: Problem) -> None:
    """Log a problem: what readers do when nobody takes their reports."""
    log.warning("%s", problem)


class Reader:
    """Reads files one after another and keeps its parsing processes between them.

    A process is started when a file first needs one, and one more for every thread that reads at the same
    time. Use it as a context manager, or call `close`.

    Args:
        limits: what one file may cost.
        report: told of what was mended or left out inside a file that is otherwise read.
        cuts_corpora: whether the documents of corpora will be cut, so that their metadata is bounded as that of files.
        ocr: whether pictures, and pages of PDF that have no text, are read; see `rag.ingest.ocr.require_ocr`.
        figures: whether pictures and tables that stand in files are documents too, where their bytes are kept.
        keep: takes bytes of contents, before the document that holds them is given; unset: contents of corpora are held by
            reference, and bytes are dropped.
    """

    def __init__(
        self,
        *,
        limits: Limits = DEFAULT_LIMITS,
        report: Report = warn,
        cuts_corpora: bool = False,
        ocr: bool = False,
        figures: bool = False,
        keep: Keep | None = None,
    ) -> None:
        self._limits = limits
        self._report, self._keep = report, keep
        self._cuts_corpora, self._ocr, self._figures = cuts_corpora, ocr, figures and keep is not None
        # Without a lock: the garbage collector ends a stream that was left, in the midst of whatever a thread does.
        self._idle: list[Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the parsing processes. The reader can still be used, and starts new ones."""
        while worker := self._rested():
            worker.close()

    def read(self, file: SourceFile) -> list[ParsedDocument]:
        """The documents of a file: many for CSV, JSONL, mailboxes, archives and corpora, else one.

        Raises:
            IngestError: it cannot be read; the message has its name and the reason.
        """
        return list(joined(self.stream(file)))

    def stream(self, file: SourceFile) -> Iterator[ParsedDocument]:
        """The same one by one, so that a file of any size fits; the error may come after documents have.

        A document of more than a million characters comes in stretches (see `ParsedDocument`).
        """

        def note(reason: str, *, lost: bool = False) -> None:
            self._report(Problem(name=file.name, reason=reason, lost=lost))

        try:
            size = _check(file, self._limits)
            if file.layout == "corpus" and suffix(file.path.name) != ".json":
                documents = corpora.stream(file, limits=self._limits, note=note)
                documents = capped(documents, note) if self._cuts_corpora else documents
                if self._keep is not None:
                    root, limits = file.path.parent, self._limits
                    documents = referenced(documents, root=root, read=self.stream, limits=limits, note=note)
                yield from bounded(documents, size_bytes=size, limits=self._limits, note=note)
                return
            yield from self._parsed(file, size, note)
        except ReadError as cause:
            raise IngestError(f"{file.name}: {cause}") from None
        except OSError as cause:
            raise IngestError(f"{file.name}: cannot be read: {cause.strerror or cause}") from cause

    def _parsed(self, file: SourceFile, size: int, note: Note) -> Iterator[ParsedDocument]:
        """Its text, and then what stands in it beside text: whatever becomes of that, the text is there."""
        parser = reader_of(file.path.name, file.layout)
        seconds = self._limits.seconds + (ZIP_BYTES if parser == "zip" else size) // _BYTES_A_SECOND
        figures = self._figures and parser in shipped(FIGURES)
        found = False
        for document in self._kept(file, note, self._ask(file, parser, seconds, wordless=figures)):
            found = found or bool(document.text.strip() or document.contents)
            yield document
        if not figures:
            return
        try:
            for document in self._kept(file, note, self._ask(file, parser, seconds, figures=True)):
                found = True
                yield document
        except ReadError as cause:
            note(f"pictures and tables in it cannot be read: {cause}", lost=True)
        if not found:
            raise ReadError("no text in it")

    def _kept(self, file: SourceFile, note: Note, frames: Iterable[Mapping[str, Any]]) -> Iterator[ParsedDocument]:
        """The documents of frames, once the bytes that they hold are kept."""
        for frame in frames:
            for document in map(unpack, frame.get("documents", ())):
                if keep := self._keep:
                    for each in document.kept:
                        keep(each.sha256, each.data, each.thumbnail)
                yield replace(document, kept=()) if document.kept else document
            for reason, lost in frame.get("notes", ()):
                note(reason, lost=lost)
            if "error" in frame:
                raise ReadError(frame["error"])

    def call(self, function: str, file: Path, **asked: Any) -> Any:
        """What a function "module:name" makes of the bytes of a file: `name(data, **asked)`, in a process that parses.

        What it is asked and what it makes are plain data, as JSON holds them.

        Raises:
            ReadError: it says why not, gives up, or takes too long or too much memory.
            OSError: the file cannot be read.
        """
        _check(SourceFile(path=file, name=file.name, size=0), self._limits)
        request = {"function": function, "path": str(file), "asked": asked}
        [frame] = self._frames(request, self._limits.seconds)
        if "error" in frame:
            raise ReadError(frame["error"])
        return frame["made"]

    def _ask(self, file: SourceFile, parser: str, seconds: float, **more: bool) -> Iterator[dict[str, Any]]:
        if is_content(parser):
            of_plugin(parser).require()
        request = {
            "parser": parser,
            "path": str(file.path),
            "name": file.name,
            "layout": file.layout,
            "ocr": self._ocr,
            "caption": str(file.caption) if file.caption else "",
            **more,
        }
        yield from self._frames(request, seconds)

    def _frames(self, request: Mapping[str, Any], seconds: float) -> Iterator[dict[str, Any]]:
        worker = self._rested() or Worker(self._limits)
        try:
            yield from worker.ask({**request, "limits": asdict(self._limits)}, seconds=seconds)
        finally:
            if worker.alive:
                self._idle.append(worker)

    def _rested(self) -> Worker | None:
        """One that can be asked, which nobody else gets then."""
        while True:
            try:
                worker = self._idle.pop()
            except IndexError:
                return None
            if worker.alive:
                return worker


def _check(file: SourceFile, limits: Limits) -> int:
    """The size of the file. Refuses what would hang when opened, or is too large."""
    status = file.path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ReadError("not a regular file")
    with file.path.open("rb"):  # readable at all?
        pass
    streamed = file.layout == "corpus" or reader_of(file.path.name, file.layout) == "mbox"
    if status.st_size > limits.file_bytes and not streamed:
        raise ReadError(f"{status.st_size:,} bytes, above the limit of {limits.file_bytes:,} bytes a file; split it")
    return status.st_size
