"""What somebody may write in an index whose documents say who may read them: what they may read, and nothing else.

Every answer is the one that an index of only these documents would give. So whoever writes chooses no id: whether an id
is taken would tell what they may not read. And a label has no reader whom its writer does not stand for, as a document
would otherwise be a way to speak to others. Whoever keeps the index, and asks for nobody, is bound by none of this.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.core.access import Access, Asker, may_read, read_access
from rag.core.errors import SpecError
from rag.indexing.build import IndexReport
from rag.indexing.python_documents import Named, Settle
from rag.indexing.removed_rows import rows_of
from rag.ingest import printable
from retrievers.index.directory import LocalIndex

ID_BYTES = 8
"""Of an id that is chosen by chance, so that it is never one that is taken."""


def readable_by(index: LocalIndex, asker: Asker | None) -> NDArray[np.bool_] | None:
    """bool [n]: rows that somebody may read; None where there is nobody to ask for, or documents carry no labels."""
    if asker is None or index.access is None:
        return None
    return index.access.readable(asker).rows


@contextmanager
def settling(home: Path, asker: Asker | None, *, update: bool) -> Iterator[Settle | None]:
    """What becomes of each document that somebody gives; None where all may be written as it comes.

    Raises:
        IndexProblem: no index, or it is damaged.
    """
    if asker is None:
        yield None
        return
    with LocalIndex.open(home) as index:
        writer = _Writer(index, asker) if index.labelled else None
        yield None if writer is None else writer.put if update else writer.come


def told_to(asker: Asker | None, report: IndexReport, home: Path) -> IndexReport:
    """The report as whoever wrote may know it: what they may read is counted, and all other counts are as of nothing.

    Models read no text twice, so how many they read would tell which texts are there.
    """
    with LocalIndex.open(home) as index:
        readable = readable_by(index, asker)
        if readable is None:
            return report
        rows = np.flatnonzero(readable)
        there = {document.parent for document in index.documents.many(rows)}
        return IndexReport(
            path=report.path,
            legs=report.legs,
            n_sources=0,
            n_files=0,
            n_documents=len(there),
            n_units=len(rows),
            n_reused_files=0,
            ids=tuple(doc_id for doc_id in report.ids if doc_id in there),
            unchanged=report.unchanged,
        )


@dataclass(frozen=True, slots=True)
class _Writer:
    """Somebody who writes into an index with labels."""

    index: LocalIndex
    asker: Asker

    def come(self, named: Named, fields: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The id and the fields of a new document. It is its writer's own unless its label says more.

        Raises:
            SpecError: it has an id, or a label that its writer may not give.
        """
        if named.own:
            raise SpecError(
                f"document {named.place} has an id, {printable(named.doc_id[:200])!r}. Where documents say who may read "
                "them, the index gives what somebody adds an id: leave yours out, and take the one that the reply says. "
                "Your own may stand in another field, by which a filter finds the document. Nothing was changed"
            )
        label = self._given(named, fields) or _of_its_writer(self.asker, named)
        self._require_own(label, named)
        return f"text-{token_hex(ID_BYTES)}", self._labelled(fields, label.as_dict())

    def put(self, named: Named, fields: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The same of a document in the place of one that is there, whose label it keeps unless it says another.

        Raises:
            IndexProblem: there is none that its writer may read.
            SpecError: it has a label that its writer may not give.
        """
        row = int(rows_of(self.index, [named.doc_id], readable_by(self.index, self.asker))[0])
        assert self.index.access is not None
        before, label = self.index.access.labels[self.index.access.codes[row]], self._given(named, fields)
        if label in (None, before.access):
            was = None if before.given else self.index.documents[row].metadata.get(self._key)
            return named.doc_id, self._labelled(fields, was)
        assert label is not None
        if before.given:
            raise SpecError(
                f"document {named.place} ({printable(named.doc_id[:200])!r}): whoever keeps the index says who may read "
                f"it, in a file of labels. Leave {self._key!r} out. Nothing was changed"
            )
        self._require_own(label, named)
        return named.doc_id, self._labelled(fields, label.as_dict())

    @property
    def _key(self) -> str:
        """Of the metadata that hold a label."""
        return self.index.manifest.settings.reading.access or ""

    def _labelled(self, fields: dict[str, Any], label: Any) -> dict[str, Any]:
        """The fields with the label as the last of them: of two that become one key, the last counts."""
        others = {name: value for name, value in fields.items() if name != self._key}
        return others if label is None else {**others, self._key: label}

    def _given(self, named: Named, fields: dict[str, Any]) -> Access | None:
        """The label that comes with a document."""
        if fields.get(self._key) is None:
            return None
        try:
            return read_access(fields[self._key])
        except ValueError as cause:
            raise SpecError(
                f"document {named.place}: {self._key!r} is no label: {printable(str(cause))}. Nothing was changed"
            ) from None

    def _require_own(self, label: Access, named: Named) -> None:
        users, groups = {self.asker.user, ""}, {*self.asker.groups}
        if label.public:
            wrong = "it would be public"
        elif others := sorted({label.owner, *label.users} - users):
            wrong = f"{printable(others[0])!r} is somebody else"
        elif others := sorted({*label.groups} - groups):
            wrong = f"its writer is not in the group {printable(others[0])!r}"
        elif not may_read(self.asker, label):
            wrong = "its writer could not read it"
        else:
            return
        raise SpecError(
            f"document {named.place}: {self._key!r} names readers for whom its writer does not stand: {wrong}. Name "
            "yourself and groups that you are in, under your tenant, or leave it out. Nothing was changed"
        )


def _of_its_writer(asker: Asker, named: Named) -> Access:
    """The label of what comes without one: its writer's own, or that of all their groups where they give no name.

    Raises:
        SpecError: there is nobody whose it could be.
    """
    if not asker.tenant or not (asker.user or asker.groups):
        raise SpecError(
            f"document {named.place}: nobody could read it, as its writer has no tenant, or neither a name nor a group. "
            "Only whoever keeps the index adds documents for all. Nothing was changed"
        )
    return Access(tenant=asker.tenant, owner=asker.user, groups=() if asker.user else asker.groups)
