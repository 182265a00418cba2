"""Documents that fulfil a plan -> the answer: a number, a sum or mean, a list, the first or last, or how many of each. No model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice

from generators.tally_plan import Plan, amount_of, order_of, value_of
from rag.core.filters import Condition, Filter, fold
from rag.core.filters.operators import Equal, OneOf, Range
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


def drafted(
    plan: Plan, documents: Iterable[Document], fields: Mapping[str, Field], *, shown: int, called: str = "document"
) -> Draft:
    """The answer of a plan that these documents fulfil, one passage each, in the order in which they are listed.

    They are read once and not kept. At most `shown` are named and cited; how many there are beside is said. `called`: what
    one of them is to who asks, such as a row. Counts: documents that `matched`, and those `without_field`.
    """
    draft = Draft()
    going = _noted(documents, draft)
    if plan.operation == "count":
        cited = list(islice(going, shown))
        n = len(cited) + sum(1 for _ in going)
        draft.add(f"{_many(n, called, shown)}.", *cited)
    elif plan.operation in ("sum", "mean"):
        _sum(going, fields[plan.field], draft, shown, called, mean=plan.operation == "mean")
    elif plan.operation == "list":
        _list(((_told(document, called), document) for document in going), draft, shown)
    elif plan.operation == "group":
        _group(going, fields[plan.field], draft, shown)
    else:
        _end(going, fields[plan.field], draft, shown, called, last=plan.operation in ("latest", "highest"))
    return draft


def _noted(documents: Iterable[Document], draft: Draft) -> Iterator[Document]:
    for document in documents:
        draft.counts["matched"] += 1
        yield document


def told_filter(where: Filter) -> str:
    """A filter in words, with values of documents on the line and short."""
    return fold(
        where,
        condition=_told_condition,
        all_of=lambda parts: " and ".join(parts),
        any_of=lambda parts: f"({' or '.join(parts)})",
        negation=lambda part: f"not ({part})",
    )


def _told_condition(node: Condition) -> str:
    key, operator = _line(node.key), node.operator
    if isinstance(operator, Equal):
        return f"{key} = {_value(operator.value)}"
    if isinstance(operator, OneOf):
        return f"{key} one of {', '.join(map(_value, operator.value))}"
    if isinstance(operator, Range):
        return f"{key} {operator.symbol} {_value(operator.value)}"
    return f"{key} {operator.name} {_value(operator.value)}"


def _value(value: object) -> str:
    return f"'{_line(value)}'" if isinstance(value, str) else _line(str(value))


def _many(n: int, called: str, shown: int) -> str:
    more = f", of which the first {shown} are cited" if n > shown else ""
    return f"{n:,} {called}{'s' * (n != 1)}{more}"


def _sum(documents: Iterable[Document], by: Field, draft: Draft, shown: int, called: str, *, mean: bool) -> None:
    """The sum of a field, or its mean. Decimals are added as decimals; a mean has two places."""
    total, n, cited = Decimal(), 0, list[Document]()
    for document in documents:
        amounts = [amount for value in members(document.metadata, by.name) if (amount := amount_of(value)) is not None]
        draft.counts["without_field"] += not amounts
        if amounts:
            total, n = sum(amounts, total), n + 1
            cited += [document] if n <= shown else []
    told = f"{total / n:,.2f}: the mean of" if mean and n else f"{total:,f}:"
    draft.add(f"{told} {_line(by.name)} of {_many(n, called, shown)}.", *cited)
    draft.found = n > 0


def _list(lines: Iterable[tuple[str, Document]], draft: Draft, shown: int) -> None:
    going = iter(lines)
    for line, document in islice(going, shown):
        draft.add(f"{chr(10) if draft.documents else ''}- {line}", document)
    if more := sum(1 for _ in going):
        draft.add(f"\nand {more:,} more")
    if not draft.documents:
        draft.add(NONE)
        draft.found = False


def _end(documents: Iterable[Document], by: Field, draft: Draft, shown: int, called: str, *, last: bool) -> None:
    """All documents with the first value of a field, or the last."""
    best, found = None, list[tuple[str, Document]]()
    for document in documents:
        value = value_of(document, by, last=last)
        place = order_of(value)
        draft.counts["without_field"] += place is None
        if place is None:
            continue
        if best is None or (place > best if last else place < best):
            best, found = place, []
        if place == best:
            found.append((f"{value}: {_told(document, called)}", document))
    _list(found, draft, shown)


def _group(documents: Iterable[Document], by: Field, draft: Draft, shown: int) -> None:
    """How many documents each value has, the most frequent first. One with several values counts for each."""
    sizes, first = Counter[str](), dict[str, Document]()
    for document in documents:
        names = dict.fromkeys(
            name_of(value) for value in members(document.metadata, by.name) if value not in (None, "")
        )
        draft.counts["without_field"] += not names
        sizes.update(names.keys())
        for name in names:
            first.setdefault(name, document)
    ordered = sorted(sizes.items(), key=lambda pair: (-pair[1], pair[0]))
    _list(((f"{_line(str(value_named(name)))}: {n:,}", first[name]) for name, n in ordered), draft, shown)


def _told(document: Document, called: str) -> str:
    """What a document is called, and what stands in a row: its title is often that of the table alone."""
    if called == "row":
        return _line("; ".join(document.text.splitlines()))
    return _line(document.title) or _line(document.parent)


def _line(text: str) -> str:
    """Text of a document on one line, in which nothing looks like a citation."""
    return in_one_line(without_markers(defused(text)))[:_LONGEST]
