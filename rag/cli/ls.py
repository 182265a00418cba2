"""`rag ls`: the documents of an index."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator
from itertools import groupby, islice

from rag.cli.console import say, write
from rag.core.types import Document
from retrievers.index.opening import open_index
from retrievers.index.protocol import Index


def run(given: Namespace) -> int:
    """One line a document, in the order of the index; JSON lines with --json."""
    with open_index(given.index) as index:
        for first, n in islice(_documents(index, given.beginning), given.limit):
            if given.json:
                write(json.dumps({"doc_id": first.parent, "title": first.title, "passages": n}) + "\n")
            else:
                say(f"{first.parent}  {first.title}  ({n:,} {'passage' if n == 1 else 'passages'})")
    return 0


def _documents(index: Index, beginning: str) -> Iterator[tuple[Document, int]]:
    """The first passage of each document whose id begins so, and how many passages it has."""
    for parent, passages in groupby(index.documents, key=lambda document: document.parent):
        if parent.startswith(beginning):
            first = next(passages)
            yield first, 1 + sum(1 for _ in passages)
