"""`rag ls`: the documents of an index."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby, islice

from rag.cli.console import say, write
from rag.cli.options import indexed, positive
from rag.core.types import Document
from retrievers.index.opening import open_index
from retrievers.index_protocol import Index


@dataclass(frozen=True, slots=True)
class _Listed:
    """A document, or what one file gave where that is many. `first`: its first passage."""

    first: Document
    n_documents: int
    n_passages: int


def options(parser: ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("beginning", nargs="?", default="", metavar="ID", help="only ids that begin so")
    indexed(parser, needed=True)
    parser.add_argument("--limit", type=positive, metavar="N", help="only the first N")
    parser.add_argument("--json", action="store_true", help="a JSON document a line")


def run(given: Namespace) -> int:
    """One line a document, in the order of the index; JSON lines with --json.

    Rows of a table, and whatever else is named by its file, are one line for the file, unless the file is asked for or JSON.
    """
    with open_index(given.index) as index:
        for each in islice(_listed(index, given.beginning, single=given.json), given.limit):
            if given.json:
                row = {"doc_id": each.first.parent, "title": each.first.title, "passages": each.n_passages}
                write(json.dumps(row) + "\n")
            else:
                say(_line(each))
    return 0


def _line(each: _Listed) -> str:
    passages = f"{each.n_passages:,} {'passage' if each.n_passages == 1 else 'passages'}"
    if each.n_documents == 1:
        return f"{each.first.parent}  {each.first.title}  ({passages})"
    file = _file_of(each.first)
    return f"{file}  {each.n_documents:,} documents  ({passages}; rag ls '{file}' lists them)"


def _listed(index: Index, beginning: str, *, single: bool) -> Iterator[_Listed]:
    """What has a line of its own. `single`: each document has, as where the beginning names its whole file."""

    def line_of(document: Document) -> str:
        file = _file_of(document)
        return document.parent if single or beginning.startswith(file) else file

    last: _Listed | None = None
    for first, n in _documents(index, beginning):
        if last is not None and line_of(first) == line_of(last.first):
            last = replace(last, n_documents=last.n_documents + 1, n_passages=last.n_passages + n)
            continue
        if last is not None:
            yield last
        last = _Listed(first, 1, n)
    if last is not None:
        yield last


def _documents(index: Index, beginning: str) -> Iterator[tuple[Document, int]]:
    """The first passage of each document whose id begins so, and how many passages it has."""
    for parent, passages in groupby(index.documents, key=lambda document: document.parent):
        if parent.startswith(beginning):
            first = next(passages)
            yield first, 1 + sum(1 for _ in passages)


def _file_of(document: Document) -> str:
    """The file that a document is named by, as rows and mails of one are; else the document itself."""
    file = str(document.metadata.get("source", ""))
    return file if file and document.parent.startswith(f"{file}:") else document.parent
