"""A model turns questions into plans over the fields of an index, and fields alone carry them out."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import prompts
from generators.tally_plan import Plan, Unplanned, plan_form, read_plan, told_fields
from rag.core.errors import SpecError, did_you_mean
from rag.core.filters import Filter, Where, scope_of
from rag.core.powers import kept_forms
from rag.core.protocols import LLM
from rag.core.types import Document, Query, SamplingParams, Usage
from rag.core.words import in_one_line
from rag.stages.writing import write
from retrievers.index.fields import Field, fields_of
from retrievers.index.protocol import Index, is_labelled

_READERS = 8
"""Whose fields are kept."""


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
        by: who asks, in errors.
    """

    def __init__(
        self, *, llm: LLM, index: Index, wanted: Sequence[str] = (), prompt: str, max_tokens: int, by: str
    ) -> None:
        self._llm, self._index, self._wanted, self._by = llm, index, tuple(wanted), by
        self._prompt, self._max_tokens = prompts.load(prompt), max_tokens
        self._prompt.require("fields", "question", by=by)
        self._fields: dict[Filter | None, Mapping[str, Field]] = {}
        self._lock = threading.Lock()

    def plans(self, queries: Sequence[Query], fields: Sequence[Mapping[str, Field]]) -> list[Planned]:
        """A plan for each question over its fields, or why there is none. One call each, all together."""
        rendered = [
            [self._prompt.render(fields=told_fields(known), question=in_one_line(query.asked))]
            for query, known in zip(queries, fields, strict=True)
        ]
        form = plan_form() if queries and "json_schema" in kept_forms(self._llm) else ""
        params = SamplingParams(max_tokens=self._max_tokens, json_schema=form)
        written = write(self._llm, rendered, params, read=str.strip)
        return [
            Planned(plan=read_plan("".join(each.texts), known), fields=known, usage=each.usage)
            for each, known in zip(written, fields, strict=True)
        ]

    def kept(self, where: Filter | None) -> dict[str, Document]:
        """Documents that pass a filter, each by the passage that stands for it, in the order of the index."""
        found: dict[str, Document] = {}
        for document in self._index.documents.many(self._index.rows(where).tolist()):
            found.setdefault(document.parent, document)
        return found

    def fields(self, where: Where | None = None) -> Mapping[str, Field]:
        """The fields that a plan may use, of what may be read by whoever asks with this filter.

        The first call for somebody reads all documents that they may read; the last 8 are kept.

        Raises:
            SpecError: one that was named is in no document.
        """
        reader = scope_of(where) if is_labelled(self._index) else None
        with self._lock:
            if reader not in self._fields:
                self._fields = dict([*self._fields.items()][1 - _READERS :]) | {reader: self._known(reader)}
            return self._fields[reader]

    def _known(self, reader: Filter | None) -> Mapping[str, Field]:
        documents = self._index.documents
        closed = is_labelled(self._index)
        known = fields_of((documents[row] for row in self._index.rows(reader)) if closed else documents)
        if unknown := [name for name in self._wanted if name not in known and not closed]:
            raise SpecError(f"{self._by}: no document has a field '{unknown[0]}'. {did_you_mean(unknown[0], known)}")
        return {name: known[name] for name in self._wanted if name in known} if self._wanted else known
