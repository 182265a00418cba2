"""The parsers by name, each a module that is imported when it is first needed."""

from __future__ import annotations

import io
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from rag.ingest.formats import of_plugins
from rag.ingest.types import Limits, Note, ParsedDocument, ReadError, SourceFile

MODULES = {
    "plain": "plain",
    "code": "code",
    "markdown": "markdown",
    "rst": "rst",
    "tex": "tex",
    "man": "man",
    "html": "html",
    "xml": "xml",
    "pdf": "pdf",
    "doc": "doc",
    "docx": "docx",
    "pptx": "pptx",
    "xlsx": "xlsx",
    "odt": "odt",
    "epub": "epub",
    "rtf": "rtf",
    "mail": "mail",
    "msg": "msg",
    "notebook": "notebook",
    "csv": "tables",
    "json": "json_rows",
    "ini": "ini",
}
"""Parser -> module, each with a function `parse(data, name, note)`. Installed packages add theirs (`ragline.reader`)."""
STREAMS = {"jsonl": "corpora", "mbox": "mbox", "zip": "archive"}
"""Parser -> module, each with a function `stream(file, limits, note)`: what is read part by part, or by other parsers."""


def parsed(parser: str, data: bytes, name: str, note: Note, **more: Any) -> Iterator[ParsedDocument]:
    """What one of `MODULES`, or a plug-in's parser, makes of the bytes of a file.

    Raises:
        ReadError: it is empty, or the parser says why it cannot read it.
    """
    if not data or data.isspace():
        raise ReadError("empty")
    module = import_module(f"rag.ingest.{MODULES[parser]}") if parser in MODULES else of_plugin(parser)
    yield from module.parse(data, name, note, **more)


def of_plugin(parser: str) -> Any:
    """The module of a parser that an installed package brings."""
    return import_module(of_plugins()[parser].component)


def streamed(
    parser: str, file: SourceFile, limits: Limits, note: Note, *, content: io.BufferedReader | None = None
) -> Iterator[ParsedDocument]:
    """What one of `STREAMS` makes of a file.

    Args:
        content: what the file holds, where it lies in an archive.
    Raises:
        ReadError: the parser says why it cannot read it.
    """
    more = {} if content is None else {"content": content}
    yield from import_module(f"rag.ingest.{STREAMS[parser]}").stream(file, limits=limits, note=note, **more)
