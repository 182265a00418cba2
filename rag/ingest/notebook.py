"""Jupyter notebooks: cells in their order, Markdown as Markdown, code as listings, and what it printed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from rag.ingest.clean import decode
from rag.ingest.layout import Layout
from rag.ingest.markdown import write
from rag.ingest.types import Note, ParsedDocument, ReadError

_OUTPUT = 4_000
"""Characters of one output that are kept: what is longer is a table of numbers or a log."""


def parse(data: bytes, name: str, note: Note) -> list[ParsedDocument]:
    """One document, titled by its first heading. Pictures and widgets are left out.

    Raises:
        ReadError: not a notebook.
    """
    layout = Layout()
    try:
        notebook = json.loads(decode(data, note))
    except (ValueError, RecursionError) as cause:
        raise ReadError(f"not JSON, as a notebook is: {cause}") from None
    n_cut = 0
    for cell in _cells(notebook):
        source = _text(cell.get("source", cell.get("input")))
        if cell.get("cell_type") == "markdown":
            write(layout.clean(source), layout)
        elif cell.get("cell_type") == "heading":
            level = cell.get("level")
            layout.heading(level if isinstance(level, int) else 1, source)
        else:
            layout.block(source, lines=True)
            for output in filter(None, map(_printed, _objects(cell.get("outputs")))):
                layout.block(output[:_OUTPUT], lines=True)
                n_cut += len(output) > _OUTPUT
    if n_cut:
        note(f"{n_cut} outputs cut after {_OUTPUT:,} characters", lost=True)
    layout.tell(note)
    metadata = notebook.get("metadata")
    title = metadata.get("title", "") if isinstance(metadata, dict) else ""
    return [layout.document(name, title=title if isinstance(title, str) else "")]


def _cells(notebook: Any) -> Iterator[Mapping[str, Any]]:
    if not isinstance(notebook, dict) or not ("cells" in notebook or "worksheets" in notebook):
        raise ReadError("not a notebook: it has no cells")
    yield from _objects(notebook.get("cells"))
    for sheet in _objects(notebook.get("worksheets")):  # before format 4
        yield from _objects(sheet.get("cells"))


def _printed(output: Mapping[str, Any]) -> str:
    data = output.get("data", output)
    plain = data.get("text/plain", data.get("text")) if isinstance(data, dict) else None
    return _text(plain)


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    if isinstance(value, list):
        parts = [part for part in value if isinstance(part, str)]
        return ("" if any(part.endswith("\n") for part in parts) else "\n").join(parts)
    return value if isinstance(value, str) else ""
