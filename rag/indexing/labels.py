"""Who may read the documents of a build: by a file of labels, by their own metadata, or as the index before had it.

What is missing or cannot be understood lets nobody in, and is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rag.core.access import Access, read_access
from rag.core.errors import SpecError
from rag.core.lines import records
from rag.core.types import Document
from rag.ingest import Problem
from retrievers.index.access import AccessTable, Label
from retrievers.index.built import BuiltIndex
from retrievers.index.directory import LocalIndex

_IDS = ("_id", "doc_id", "id")
_SHOWN, _REASONS = 3, 100
_SOURCE = "permissions"
"""What a problem with labels is told under, in the place of a file's name."""


@dataclass(slots=True)
class Given:
    """Labels by the id of a document, from a file. `unknown`: ids that no document has had so far."""

    labels: Mapping[str, Access | None]
    problems: Counter[str] = field(default_factory=Counter)
    unknown: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, path: Path) -> Given:
        """A JSONL file, plain or .gz: an object a line, with `_id`, `doc_id` or `id`, and the fields of a label.

        Raises:
            SpecError: a line is no object, has no id, or an id is given twice.
        """
        labels: dict[str, Access | None] = {}
        problems = Counter[str]()
        for number, record in records(path):
            id_ = next((record.pop(key) for key in _IDS if key in record), None)
            if not isinstance(id_, str) or not id_:
                raise SpecError(f"{path}:{number}: no id of a document; a line has a text under _id, doc_id or id")
            if id_ in labels:
                raise SpecError(f"{path}:{number}: '{id_[:80]}' has a label already; keep one of the two")
            labels[id_] = _understood(record, problems)
        return cls(labels, problems, set(labels))

    @classmethod
    def before(cls, index: BuiltIndex | None) -> Given:
        """Those that an index was given by a file."""
        access = access_of(index)
        if index is None or access is None or not any(label.given for label in access.labels):
            return cls({})
        pairs = zip(index.documents, access.codes.tolist(), strict=True)
        kept = ((document.parent, access.labels[code]) for document, code in pairs)
        return cls({parent: label.access for parent, label in kept if label.given})

    def of(self, document: Document) -> Label | None:
        """The label of a passage, by the id of its document: a passage has none of its own."""
        if document.parent not in self.labels:
            return None
        self.unknown.discard(document.parent)
        return Label(access=self.labels[document.parent], given=True)


def access_of(index: BuiltIndex | None) -> AccessTable | None:
    """Who may read what. Only an index in a directory has labels."""
    return index.access if isinstance(index, LocalIndex) else None


def labelled(documents: Iterable[Document], *, key: str, given: Given) -> tuple[AccessTable, list[Problem]]:
    """The label of every document in its order: as it was given, else what its metadata has under `key`, else none."""
    codes: dict[Label, int] = {}
    rows: list[int] = []
    problems = Counter(given.problems)
    for document in documents:
        label = given.of(document)
        if label is None and key in document.metadata:
            label = Label(access=_understood(document.metadata[key], problems))
        if label is None:
            problems["there is no label"] += 1
        rows.append(codes.setdefault(label or Label(), len(codes)))
    closed = {code for label, code in codes.items() if label.access is None}
    n_closed = sum(code in closed for code in rows)
    return AccessTable.of(codes, rows), list(_told(n_closed, problems, given.unknown))


def _understood(label: Any, problems: Counter[str]) -> Access | None:
    try:
        return read_access(label)
    except ValueError as error:
        reason = str(error)
        problems[reason if reason in problems or len(problems) < _REASONS else "other reasons"] += 1
        return None


def _told(closed: int, reasons: Counter[str], unknown: set[str]) -> Iterator[Problem]:
    if closed:
        why = "; ".join(f"{reason} ({n:,})" for reason, n in reasons.most_common(_SHOWN))
        reason = f"passages that nobody may read, as their label is missing or cannot be understood: {closed:,}: {why}"
        yield Problem(name=_SOURCE, reason=reason, lost=False)
    if unknown:
        reason = f"labels of documents that are not there: {len(unknown):,}, such as '{min(unknown)[:80]}'"
        yield Problem(name=_SOURCE, reason=reason, lost=False)
