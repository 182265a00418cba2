"""A model turns questions into plans over the fields of an index, and fields alone carry them out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

import prompts
from generators.tally_named import other_forms
from generators.tally_plan import Plan, Unplanned, plan_form, read_plan, told_fields
from generators.tally_question import Known
from generators.tally_tables import Tables
from rag.core.errors import SpecError, did_you_mean
from rag.core.filters import AllOf, Condition, Filter, Where, both, scope_of
from rag.core.filters.operators import Exists, OneOf
from rag.core.powers import kept_forms
from rag.core.protocols import LLM
from rag.core.types import Document, SamplingParams, Usage
from rag.core.words import in_one_line
from rag.stages.writing import write
from retrievers.index.fields import Field, fields_of
from retrievers.index_protocol import Index, is_labelled
from retrievers.stores.lru_cache import Kept

_TOGETHER = 1_000
_READERS = 8
"""Whose fields are kept, and of which tables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What a model made of a question. `fields`: those that the plan may use."""

    plan: Plan | Unplanned
    fields: Mapping[str, Field]
    usage: Usage


class Planner:
    """Plans of questions, and the documents that a plan without a condition on the text keeps. Safe to share between threads.

    Args:
        llm: writes the plans.
        index: whose documents are counted.
        wanted: metadata fields that a plan may use; none means all that documents have.
        prompt: name or path of a prompt with the variables fields and question, answered with a JSON object.
        max_tokens: most tokens of a plan.
        looked_at: passages that fields are learnt from, at most, spread over all; None means all of them.
        by: who asks, in errors.
    """

    def __init__(
        self,
        *,
        llm: LLM,
        index: Index,
        wanted: Sequence[str] = (),
        prompt: str,
        max_tokens: int,
        looked_at: int | None = None,
        by: str,
    ) -> None:
        self._llm, self._index, self._wanted, self._by = llm, index, tuple(wanted), by
        self._looked_at = looked_at
        self._prompt, self._max_tokens = prompts.load(prompt), max_tokens
        self._prompt.require("fields", "question", by=by)
        self._kept = Kept[Known](_READERS, lambda known: 1)

    def plans(
        self,
        questions: Sequence[str],
        knowns: Sequence[Known],
        tables: Sequence[str],
        wheres: Sequence[Where | None],
        *,
        most: Sequence[str] = (),
    ) -> list[Planned]:
        """A plan for each question over what is known, or why there is none. One call each, all together.

        A plan whose fields no document has together is none: it joins tables that have nothing to do with each other.

        Args:
            tables: what the table of each question is called; empty where it is of all documents.
            wheres: which documents each question is asked of.
            most: all ask for the most, the least or a mean of one of these fields; a model held to a form plans no other.
        """
        rendered = [
            [self._prompt.render(fields=told_fields(known.fields), question=_told_question(question, known))]
            for question, known in zip(questions, knowns, strict=True)
        ]
        kept = bool(questions) and "json_schema" in kept_forms(self._llm)
        form = plan_form(most) if kept else ""
        params = SamplingParams(max_tokens=self._max_tokens, json_schema=form)
        written = write(self._llm, rendered, params, read=str.strip)
        return [
            Planned(
                plan=self._together(read_plan("".join(each.texts), known.fields, table=table), where),
                fields=known.fields,
                usage=each.usage,
            )
            for each, known, table, where in zip(written, knowns, tables, wheres, strict=True)
        ]

    def _together(self, plan: Plan | Unplanned, where: Where | None) -> Plan | Unplanned:
        """The plan, if a document has all of its fields."""
        names = plan.fields if isinstance(plan, Plan) else ()
        if len(names) < 2:
            return plan
        having = AllOf(tuple(Condition(name, Exists()) for name in names))
        if len(self._index.rows(both(having, where))):
            return plan
        return Unplanned(trouble="bad_filter", detail=f"no document has these fields together: {', '.join(names)}")

    def kept(self, where: Filter | None) -> Iterator[Document]:
        """Documents that pass a filter, each by the passage that stands for it, in the order of the index."""
        seen = set[str]()
        for document in self._documents(self._index.rows(where)):
            if document.parent not in seen:
                seen.add(document.parent)
                yield document

    def known(self, where: Where | None = None) -> Known:
        """What is known of what whoever asks may read: read once, kept for the last 8. SpecError: a named field is nowhere."""
        return self._kept.get(self._reader(where), lambda: self._read(self._reader(where)))

    def known_of(self, sources: tuple[str, ...], where: Where | None = None) -> Known:
        """The same of the rows of a table, without the field that names it; see `Known.tables`."""
        rows = both(self.rows_of(sources), self._reader(where))
        found = self._kept.get((sources, rows), lambda: self._read(rows))
        return replace(found, fields={name: each for name, each in found.fields.items() if name != "source"})

    def _reader(self, where: Where | None) -> Filter | None:
        return scope_of(where) if is_labelled(self._index) else None

    @staticmethod
    def rows_of(sources: tuple[str, ...]) -> Filter | None:
        """The filter that keeps the rows of a table; None for no table, which is all documents."""
        return Condition("source", OneOf(sources)) if sources else None

    def _read(self, rows: Filter | None) -> Known:
        passing = self._index.rows(rows)
        step = 1 if self._looked_at is None else max(1, -(-len(passing) // self._looked_at))
        tables = Tables()
        some = rows is not None or is_labelled(self._index)
        found = fields_of(tables.seen(self._documents(passing[::step])))
        if unknown := [name for name in self._wanted if name not in found and not some]:
            raise SpecError(f"{self._by}: no document has a field '{unknown[0]}'. {did_you_mean(unknown[0], found)}")
        fields = {name: found[name] for name in self._wanted if name in found} if self._wanted else found
        return Known(fields, tables.n, tables.named())

    def _documents(self, rows: NDArray[np.int64]) -> Iterator[Document]:
        """Documents of rows, some at a time: an index on a server answers each time."""
        for first in range(0, len(rows), _TOGETHER):
            yield from self._index.documents.many(rows[first : first + _TOGETHER].tolist())


def _told_question(question: str, known: Known) -> str:
    """The question in one line, and how the documents write what it names in the plural: models copy the plural."""
    named = other_forms(question, known)
    return in_one_line(f"{question} ({named})" if named else question)
