"""What an erasure takes out of an index: what is there, and what was removed from it earlier."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from rag.core.types import Document
from rag.indexing.previous_index import Past
from rag.indexing.removal import Removal
from rag.indexing.selection import MayCopy, Selection
from retrievers.index.directory import LocalIndex
from retrievers.index.sources import is_left_out, with_digests


class Erasure:
    """A removal after which the index tells of what went, and of what was removed earlier, by digests alone.

    Args:
        targets: as `Removal` takes them, or ids of documents and names of files that were removed earlier.
    """

    def __init__(self, targets: Sequence[str]) -> None:
        self._targets = targets

    def __call__(self, before: Past, may_copy: MayCopy) -> Selection:
        """Choose.

        Raises:
            IndexProblem: as `Removal`.
        """
        earlier = removed_earlier(self._targets, before)
        selection = Removal([each for each in self._targets if each not in earlier])(before, may_copy)
        names = {*self._targets}.union(*selection.without.values())
        left = {
            record.name
            for chosen in selection.chosen
            for record in chosen.kept
            if record.n_documents > len(selection.without.get(record.name, ()))
        }
        chosen = tuple(replace(each, source=with_digests(each.source, names, left=left)) for each in selection.chosen)
        return replace(selection, chosen=chosen)


def removed_earlier(targets: Sequence[str], before: Past) -> frozenset[str]:
    """The targets that the index has no more: it says that they stay out, or their bytes lie in its parts."""
    gone = [target for target in targets if not _is_there(target, before)]
    bytes_left = {document.parent for document in removed_documents(before)} if gone else set[str]()
    return frozenset(
        target
        for target in gone
        if target in bytes_left or any(is_left_out(target, holding.source) for holding in before.holdings)
    )


def removed_documents(before: Past) -> Iterator[Document]:
    """Passages that were removed, or replaced, and whose bytes still lie in parts."""
    index = before.index
    if not isinstance(index, LocalIndex):
        return
    for part, rows in zip(index.stored.parts, index.stored.rows.removed, strict=True):
        if rows is not None:
            documents = part.documents
            yield from (documents[int(row)] for row in rows)


def _is_there(target: str, before: Past) -> bool:
    if any(target in (holding.source.name, holding.source.root) for holding in before.holdings):
        return True
    if before.index is None or any(record.name == target for record in before.records):
        return True
    try:
        return len(before.index.documents.rows_of(target)) > 0
    except KeyError:
        return False
