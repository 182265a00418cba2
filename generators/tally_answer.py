"""Documents that fulfil a plan -> the answer: a number, a list, the first or last, or a number for each value. No model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from generators.tally_plan import Plan, order_of, value_of
from rag.core.filters.values import members, name_of, value_named
from rag.core.types import Citation, Document
from rag.core.words import in_one_line
from rag.stages.markers import without_markers
from rag.stages.passages import defused
from retrievers.index.fields import Field

NONE = "No document fulfils this."
_LONGEST = 200
"""Characters of a title or a value."""


@dataclass(slots=True)
class Draft:
    """A text that cites documents as it grows. `documents[i]` is cited as [i + 1]. `found`: whether there is anything to tell."""

    text: str = ""
    documents: list[Document] = field(default_factory=list)
    citations: list[Citation] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    found: bool = True

    def add(self, text: str, *cited: Document) -> None:
        """More text, and the documents that stand for it."""
        self.text += text
        for document in cited:
            self.documents.append(document)
            marker = len(self.documents)
            start = len(self.text) + 1
            self.text += f" [{marker}]"
            self.citations.append(Citation(marker=marker, doc_id=document.doc_id, start=start, end=len(self.text)))


def drafted(plan: Plan, documents: Sequence[Document], fields: Mapping[str, Field], *, shown: int) -> Draft:
    """The answer of a plan that these documents fulfil, one passage each, in the order in which they are listed.

    At most `shown` documents are named and cited; how many there are beside is said. Counts: documents `without_field`.
    """
    draft = Draft()
    if plan.operation == "count":
        n = len(documents)
        more = f", of which the first {shown} are cited" if n > shown else ""
        draft.add(f"{n:,} document{'s' * (n != 1)}{more}.", *documents[:shown])
    elif plan.operation == "list":
        _list([(_title(document), document) for document in documents], draft, shown)
    elif plan.operation == "group":
        _group(documents, fields[plan.field], draft, shown)
    else:
        _end(documents, fields[plan.field], draft, shown, last=plan.operation == "latest")
    return draft


def _list(lines: Sequence[tuple[str, Document]], draft: Draft, shown: int) -> None:
    for number, (line, document) in enumerate(lines[:shown]):
        draft.add(f"{chr(10) if number else ''}- {line}", document)
    if len(lines) > shown:
        draft.add(f"\nand {len(lines) - shown:,} more")
    if not lines:
        draft.add(NONE)
        draft.found = False


def _end(documents: Sequence[Document], by: Field, draft: Draft, shown: int, *, last: bool) -> None:
    """All documents with the first value of a field, or the last."""
    valued = [(value_of(document, by, last=last), document) for document in documents]
    placed = [(place, value, document) for value, document in valued if (place := order_of(value)) is not None]
    draft.counts["without_field"] += len(valued) - len(placed)
    best = (max if last else min)((place for place, _, _ in placed), default=0.0)
    _list(
        [(f"{value}: {_title(document)}", document) for place, value, document in placed if place == best], draft, shown
    )


def _group(documents: Sequence[Document], by: Field, draft: Draft, shown: int) -> None:
    """How many documents each value has, the most frequent first. One with several values counts for each."""
    of_value: dict[str, list[Document]] = {}
    for document in documents:
        names = dict.fromkeys(
            name_of(value) for value in members(document.metadata, by.name) if value not in (None, "")
        )
        draft.counts["without_field"] += not names
        for name in names:
            of_value.setdefault(name, []).append(document)
    ordered = sorted(of_value.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    _list([(f"{_line(str(value_named(name)))}: {len(those):,}", those[0]) for name, those in ordered], draft, shown)


def _title(document: Document) -> str:
    return _line(document.title) or _line(document.parent)


def _line(text: str) -> str:
    """Text of a document on one line, in which nothing looks like a citation."""
    return in_one_line(without_markers(defused(text)))[:_LONGEST]
