"""Rows of the documents that were given out last. Whoever scores a hit by another leg asks for its row again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rag.core.types import Document

_MOST = 10_000


class RecentRows:
    """doc_id -> row, of an index that stays as it was opened. Safe to share between threads."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}

    def remember(self, documents: Iterable[Document], rows: Iterable[int]) -> None:
        """Keep the rows of documents; where they have become too many, of these alone."""
        kept = self._rows if len(self._rows) < _MOST else {}
        kept.update((document.doc_id, row) for document, row in zip(documents, rows, strict=True))
        self._rows = kept

    def of(self, doc_ids: Sequence[str]) -> list[int | None]:
        """The row of each document; None where it is not kept."""
        return list(map(self._rows.get, doc_ids))
