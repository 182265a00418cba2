"""Files and corpora -> documents -> chunks.

`discover` finds what to read, a `Reader` reads it in confined processes, `chunk` cuts it. What cannot be read
is a `Problem` or an `IngestError` with the file's name, and never stops the rest.
"""

from rag.ingest.chunk import chunk
from rag.ingest.discover import discover, is_file_name, printable
from rag.ingest.pieces import Ruler, word_spans
from rag.ingest.read import Reader
from rag.ingest.sentences import sentences
from rag.ingest.types import (
    LAYOUTS,
    Block,
    Discovery,
    Layout,
    Limits,
    ParsedDocument,
    Problem,
    Report,
    SourceFile,
    distinct,
)

INGEST_VERSION = 1
"""Raised by hand whenever the same file would give other units: indexes then read it again instead of reusing it."""

__all__ = [
    "INGEST_VERSION",
    "LAYOUTS",
    "Block",
    "Discovery",
    "Layout",
    "Limits",
    "ParsedDocument",
    "Problem",
    "Reader",
    "Report",
    "Ruler",
    "SourceFile",
    "chunk",
    "discover",
    "distinct",
    "is_file_name",
    "printable",
    "sentences",
    "word_spans",
]
