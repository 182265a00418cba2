"""Which files are tables: those that gave several documents with fields of their own, one a row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath

from rag.core.types import Document
from retrievers.index.fields import OF_CHUNKS

_OWN_TO_FILES = OF_CHUNKS | {"source", "index_name", "language", "title"}
_MOST = 1_000
"""Files that are noted."""


def name_of_table(sources: Sequence[str]) -> str:
    """What a table is called: its file, without the endings; empty for no table."""
    return PurePosixPath(sources[0]).name.partition(".")[0] if sources else ""


class Tables:
    """Notes documents as they go by."""

    def __init__(self) -> None:
        self.n = 0
        self._parents: dict[str, str] = {}
        self._tables: dict[str, None] = {}

    def seen(self, documents: Iterable[Document]) -> Iterator[Document]:
        """The same documents."""
        for document in documents:
            self.n += 1
            self._note(document)
            yield document

    def _note(self, document: Document) -> None:
        source = document.metadata.get("source")
        if not isinstance(source, str) or source in self._tables or not document.metadata.keys() - _OWN_TO_FILES:
            return
        first = self._parents.setdefault(source, document.parent) if len(self._parents) < _MOST else document.parent
        if first != document.parent:
            self._tables[source] = None

    def named(self) -> dict[str, tuple[str, ...]]:
        """Name of a table -> what `source` says of its rows."""
        found: dict[str, list[str]] = {}
        for source in self._tables:
            found.setdefault(name_of_table((source,)), []).append(source)
        return {name: tuple(sources) for name, sources in found.items() if name}
