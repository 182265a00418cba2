"""Filters that a question's own words ask for, put beside the filter that it came with."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

from rag.errors import SpecError
from rag.filters import Filter, asked_by, both, parse_where, parted
from rag.indexes import Index, fields_of, is_labelled
from rag.protocols import LLM
from rag.types import NO_USAGE, OK, Document, Outcome, Query, Usage, Where
from rag.writing import require_positive
from ragline_recipes.read_filters.as_typed import KIND, left_alone
from ragline_recipes.read_filters.by_model import ModelReader
from ragline_recipes.read_filters.known import MOST_VALUES, Known, Ordinary
from ragline_recipes.read_filters.rules import Read, read_filters
from ragline_recipes.read_filters.words import WORDS, together

log = logging.getLogger(__name__)

_TOGETHER = 1_000
"""Documents that are read at a time: an index on a server answers each time."""
_READERS = 8
"""Whose fields are kept."""
_MOST = 4
"""Filters of one question."""


class FiltersReformulator:
    """A query with the filters that its words ask for: "papers by Smith since 2019" is of documents by Smith, from 2019 on.

    Fields and values are those of the index, as far as whoever asks may read it. What is read holds beside the query's own
    filter, and its text stays as it is. A filter that would leave no document is not set; counted as `dropped`, and said.

    By rules (English and German, no model): times after words such as since, before and between; authors and sources by whom
    or where something was written; files of a type, such as PDFs and slides; and any value whose field is named beside it. By
    a model: it writes values of these fields and nothing else, held to a form where it can be; a value of which the question
    says no word is left out, counted as `invented`. A reply that cannot be read is counted, and the query stays as it was.

    `counts` of the outcome: `read` filters, `dropped` ones, of a model also `invented` and `calls`. A content of the kind
    `as_typed` beside the query says what is not read: the fields that it names, or nothing at all.

    Args:
        index: whose fields are known.
        by: rules, or model.
        llm: the model, for `by: model`; rules ask none.
        fields: names of fields that may be filtered by; none means all that documents have.
        languages: whose words count, such as en; none means all that there are.
        looked_at: documents that fields are learnt from at most, from all over the index. The first question of whoever may read
            other documents reads them.
        prompt: name or path of a prompt with the variables fields and question, answered with JSON.
        max_tokens: most tokens of the model's reply.
    """

    one_per_query = True
    reads = frozenset({"text", KIND})

    def __init__(
        self,
        *,
        index: Index,
        by: Literal["rules", "model"] = "rules",
        llm: LLM | None = None,
        fields: tuple[str, ...] = (),
        languages: tuple[str, ...] = (),
        looked_at: int = 100_000,
        prompt: str = "read_filters",
        max_tokens: int = 200,
    ) -> None:
        if by not in ("rules", "model"):
            raise ValueError(f"reformulate.filters: by must be one of rules, model, got {by!r}")
        require_positive("reformulate.filters", looked_at=looked_at, max_tokens=max_tokens)
        if by == "model" and llm is None:
            raise ValueError("reformulate.filters: by: model needs an llm")
        if unknown := [language for language in languages if language not in WORDS]:
            raise ValueError(
                f"reformulate.filters: no words of the language '{unknown[0][:40]}'. Known: {', '.join(sorted(WORDS))}"
            )
        self._index, self.by, self.fields, self.looked_at = index, by, fields, looked_at
        self._words = together(languages)
        self._model = None if llm is None or by == "rules" else ModelReader(llm, prompt=prompt, max_tokens=max_tokens)
        self._known: dict[Filter | None, Known] = {}
        self._lock = threading.Lock()

    def warm_up(self) -> None:
        """Read the fields now instead of at the first question of somebody who does not say who asks."""
        self._of(None)

    def reformulate(self, queries: Sequence[Query]) -> list[Query]:
        """Each query with the filters that were read from it, in order.

        Raises:
            SpecError: a field that was named is in no document.
        """
        knowns = [self._of(query.where) for query in queries]
        if self._model is None:
            found = [
                (read_filters(query.text, known, self._words), OK, NO_USAGE)
                for query, known in zip(queries, knowns, strict=True)
            ]
        else:
            found = self._model.read([query.text for query in queries], knowns)
        return [self._filtered(query, *each) for query, each in zip(queries, found, strict=True)]

    def _filtered(self, query: Query, read: Sequence[Read], outcome: Outcome, usage: Usage) -> Query:
        spared = left_alone(query.contents)
        contents = tuple(content for content in query.contents if content.kind != KIND)
        where, kept, dropped = parse_where(query.where), 0, list[str]()
        for each in () if spared is None else [each for each in read[:_MOST] if each.field not in spared]:
            narrower = both(where, each.where)
            if len(self._index.rows(narrower)):
                where, kept = narrower, kept + 1
            else:
                dropped.append(each.said)
        counts = {**outcome.counts, "read": kept, **({"dropped": len(dropped)} if dropped else {})}
        detail = outcome.detail
        if dropped:
            detail = f"no document passes {', '.join(map(repr, dropped))}, so that is no filter"
        kind = "repaired" if dropped and outcome.kind == "ok" else outcome.kind
        made = Outcome(kind=kind, detail=detail, counts=counts)
        return replace(query, where=where, contents=contents, outcome=made, usage=usage)

    def _of(self, where: Where | None) -> Known:
        """What is known of the documents that whoever asks with this filter may read; kept for the last 8."""
        reader = _reader(where) if is_labelled(self._index) else None
        with self._lock:
            known = self._known.get(reader)
        if known is None:
            known = self._read(reader)
            with self._lock:
                self._known = dict([*self._known.items()][1 - _READERS :]) | {reader: known}
        return known

    def _read(self, reader: Filter | None) -> Known:
        rows = self._index.rows(reader)
        ordinary = Ordinary()
        found = fields_of(_seen(self._documents(rows[:: max(1, -(-len(rows) // self.looked_at))].tolist()), ordinary))
        unknown = [name for name in self.fields if name not in found]
        if unknown and not is_labelled(self._index):
            known = ", ".join(list(found)[:20]) or "none"
            raise SpecError(f"reformulate.filters: no document has a field '{unknown[0][:80]}'. Known: {known}")
        fields = {name: found[name] for name in self.fields if name in found} if self.fields else found
        known_fields = Known(fields, ordinary)
        if bounded := known_fields.bounded:
            log.warning(
                "reformulate.filters: %s has more than %s values, so some of them are not read from questions",
                ", ".join(bounded)[:200],
                f"{MOST_VALUES:,}",
            )
        return known_fields

    def _documents(self, rows: Sequence[int]) -> Iterator[Document]:
        for first in range(0, len(rows), _TOGETHER):
            yield from self._index.documents.many(rows[first : first + _TOGETHER])


def _seen(documents: Iterator[Document], ordinary: Ordinary) -> Iterator[Document]:
    for document in documents:
        ordinary.look(document.text)
        yield document


def _reader(where: Where | None) -> Filter | None:
    reader: Filter | None = None
    for asker in parted(where).askers:
        reader = asked_by(asker, reader)
    return reader
