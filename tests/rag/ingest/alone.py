"""Read one file with a reader of its own."""

from __future__ import annotations

from rag.ingest import Limits, ParsedDocument, Reader, SourceFile
from rag.ingest.read import warn
from rag.ingest.types import DEFAULT_LIMITS, Report


def read(file: SourceFile, *, limits: Limits = DEFAULT_LIMITS, report: Report = warn) -> list[ParsedDocument]:
    """Its documents. IngestError: it cannot be read; the message has its name and the reason."""
    with Reader(limits=limits, report=report) as reader:
        return reader.read(file)
