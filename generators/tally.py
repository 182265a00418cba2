"""Questions about many documents, answered by carrying out a plan: how many, which ones, the first, the last, how many of each."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Literal, get_args

import numpy as np

import prompts
from generators.tally_answer import Draft, drafted
from generators.tally_plan import Plan, Trouble, Unplanned, plan_form, read_plan, told_fields
from rag.core.arguments import require_one_of, require_positive, require_share
from rag.core.completions import choose_each
from rag.core.errors import SpecError, did_you_mean
from rag.core.filters import Filter, both
from rag.core.powers import kept_forms, require_choosing
from rag.core.protocols import ChoosingLLM, Retriever, Subgraph
from rag.core.ranking import in_this_order
from rag.core.replies import without_reasoning
from rag.core.types import NO_USAGE, Answer, Context, Document, Outcome, Query, Ranking, SamplingParams, Usage
from rag.core.words import first_words, in_one_line
from rag.stages.checks.checker import REFUSAL
from rag.stages.writing import Written, write
from retrievers.index.fields import Field, fields_of
from retrievers.index.protocol import Index
from retrievers.missed import Missed

logger = logging.getLogger(__name__)

Otherwise = Literal["ask", "refuse"]
_VERDICT_TOKENS = 8


@dataclass(slots=True, kw_only=True)
class _Tally:
    """What is known of one question. `matched`: document -> the passage that stands for it. `marks`: whether each passage that
    was read is a find."""

    query: Query
    plan: Plan
    where: Filter | None
    matched: dict[str, Document] = field(default_factory=dict)
    fresh: list[Document] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    marks: list[bool] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    usage: Usage = NO_USAGE
    ended: str = ""

    def wanted(self) -> Query:
        """What is searched for: the condition, under both filters."""
        return Query(qid=self.query.qid, text=self.plan.condition, where=self.where, within=self.query.within)

    def take(self, ranking: Ranking, n: int) -> None:
        """The next n passages; those of documents that count already need no reading."""
        self.usage += ranking.usage
        new = [hit.document for hit in ranking.hits if hit.doc_id not in self.seen][:n]
        self.seen.update(document.doc_id for document in new)
        self.fresh = [document for document in new if document.parent not in self.matched]
        self.counts["rounds"] += bool(self.fresh)
        if ranking.outcome.kind == "failed":
            self.ended = f"the search failed ({ranking.outcome.detail})"
        elif not new:
            self.ended = "no candidate is left"

    def mark(self, document: Document, fulfils: bool) -> None:
        """Note what the model said of a passage."""
        self.marks.append(fulfils)
        if fulfils:
            self.matched.setdefault(document.parent, document)


class TallyGenerator:
    """Counts, lists, first and last, and groups of documents, by a plan in a fixed form that is carried out here.

    A model turns the question into a plan: filters on metadata fields (the language of `where`), a condition on the text in a
    few words, and an operation: count, list, earliest, latest, group. The plan is data. Fields and operations that there are
    not, and filters that cannot be read, make it no plan; no code is run.

    A plan without a condition is exact: it looks at all documents. With one, passages are read in rounds, as
    `retrieve.mentions` does it: the inner retriever is asked for the next `batch`, the model says of each whether it fulfils
    the condition, until `most` were read, `patience` rounds in a row found nothing, or none is left. The answer says how many
    may be missed: an estimate, with its assumption (`retrievers.missed`). What counts is a document, whatever it is cut into.
    The answer is written here and not by the model, and cites what it counts.

    Where there is no plan, or the question is of another kind, the inner graph answers it, outcome `fallback`, or it is
    declined. Counts say why: `no_plan`, `other_question`, `unknown_operation`, `unknown_field`, `bad_filter`. One call that
    plans; for a condition
    at most `most` calls that weigh a word, and `most` / `batch` searches, rounded up, and one more.

    Args:
        llm: the model that plans and judges; it must be able to choose from a closed list.
        inner: what is searched with where a plan has a condition.
        answers: the inner graph that answers other questions.
        index: the index whose documents are counted.
        fields: metadata fields that a plan may use; none named means all that documents have.
        unplanned: what becomes of a question without a plan: ask the inner graph, or refuse.
        batch: passages of a round.
        patience: rounds without a find after which it ends.
        most: passages that are looked at for a question, at most; of a document that counts already none is read again.
        least: share of yes against no from which a passage fulfils the condition.
        shown: documents, or values, that an answer names and cites, at most.
        max_words: words of a passage that are shown to the model.
        plan_tokens: most tokens of a plan.
        plan_prompt: name or path of a prompt with the variables fields and question, answered with a JSON object.
        check_prompt: name or path of a prompt with the variables condition and passage, answered Yes or No.
        refusal: the words of a refusal.
    """

    def __init__(
        self,
        *,
        llm: ChoosingLLM,
        inner: Retriever,
        answers: Subgraph[Answer],
        index: Index,
        fields: tuple[str, ...] = (),
        unplanned: Otherwise = "ask",
        batch: int = 16,
        patience: int = 3,
        most: int = 400,
        least: float = 0.5,
        shown: int = 20,
        max_words: int = 120,
        plan_tokens: int = 128,
        plan_prompt: str = "tally_plan",
        check_prompt: str = "tally_check",
        refusal: str = REFUSAL,
    ) -> None:
        by = "generate.tally"
        require_one_of(by, get_args(Otherwise), unplanned=unplanned)
        require_positive(by, batch=batch, patience=patience, most=most, shown=shown, max_words=max_words)
        require_positive(by, plan_tokens=plan_tokens)
        require_share(by, least=least)
        self.llm, self.inner, self.answers = require_choosing(llm, by=by), inner, answers
        self._index, self._wanted = index, tuple(fields)
        self._fields: Mapping[str, Field] | None = None
        self.unplanned, self.refusal, self.shown = unplanned, refusal, shown
        self.batch, self.patience, self.most, self.least, self.max_words = batch, patience, most, least, max_words
        self.plan_tokens = plan_tokens
        self.plan_prompt, self.check_prompt = prompts.load(plan_prompt), prompts.load(check_prompt)
        self.plan_prompt.require("fields", "question", by=by)
        self.check_prompt.require("condition", "passage", by=by)
        self._lock = threading.Lock()

    def generate(self, queries: Sequence[Query]) -> list[Answer]:
        """One answer per query, in order. Its context has the passages that it cites.

        Outcome counts: documents that `matched`; with a condition passages `read`, `unread` and `missed_at_most` (95%), and
        `rounds`; `mended_values` of filters, documents `without_field`, passages that were `too_long` or `broken`.

        Raises:
            SpecError: `fields` names one that no document has.
        """
        if not queries:
            return []
        fields = self.fields()
        told = told_fields(fields)
        rendered = [[self.plan_prompt.render(fields=told, question=in_one_line(query.asked))] for query in queries]
        form = plan_form() if "json_schema" in kept_forms(self.llm) else ""
        params = SamplingParams(max_tokens=self.plan_tokens, json_schema=form)
        written = write(self.llm, rendered, params, read=without_reasoning)
        plans = [read_plan("".join(each.texts), fields) for each in written]
        tallies = {
            place: self._begun(queries[place], plan) for place, plan in enumerate(plans) if isinstance(plan, Plan)
        }
        self._read_all([tally for tally in tallies.values() if tally.plan.condition])
        others = {place: plan for place, plan in enumerate(plans) if isinstance(plan, Unplanned)}
        answers = {place: self._told(tally, fields) for place, tally in tallies.items()}
        answers |= dict(
            zip(others, self._otherwise([queries[place] for place in others], [*others.values()]), strict=True)
        )
        made = [_paid(answers[place], written[place]) for place in range(len(queries))]
        if others:
            first = next(iter(others.values())).detail
            logger.warning("generate.tally: %d of %d have no plan; first: %s", len(others), len(made), first)
        return made

    def fields(self) -> Mapping[str, Field]:
        """The fields that a plan may use. The first call reads all documents.

        Raises:
            SpecError: one that was named is in no document.
        """
        with self._lock:
            if self._fields is None:
                known = fields_of(self._index.documents)
                if unknown := [name for name in self._wanted if name not in known]:
                    raise SpecError(
                        f"generate.tally: no document has a field '{unknown[0]}'. {did_you_mean(unknown[0], known)}"
                    )
                self._fields = {name: known[name] for name in self._wanted} if self._wanted else known
            return self._fields

    def _begun(self, query: Query, plan: Plan) -> _Tally:
        """A tally; that of a plan without a condition is done."""
        tally = _Tally(query=query, plan=plan, where=both(plan.where, query.where))
        tally.counts["mended_values"] += plan.mended
        if not plan.condition:
            for document in self._index.documents.many(self._index.rows(tally.where).tolist()):
                tally.matched.setdefault(document.parent, document)
        return tally

    def _read_all(self, tallies: Sequence[_Tally]) -> None:
        """Read passages for all conditions, in step."""
        while going := [tally for tally in tallies if not tally.ended]:
            depth = max(len(tally.seen) for tally in going) + self.batch
            rankings = self.inner.retrieve([tally.wanted() for tally in going], k=depth)
            for tally, ranking in zip(going, rankings, strict=True):
                tally.take(ranking, min(self.batch, self.most - len(tally.seen)))
            self._weigh(going)
            for tally in going:
                tally.ended = tally.ended or self._end(tally)

    def _end(self, tally: _Tally) -> str:
        tail = tally.marks[-self.patience * self.batch :]
        if len(tally.seen) >= self.most:
            return "no more were to be read"
        if len(tail) == self.patience * self.batch and not any(tail):
            return f"the last {len(tail)} had none"
        return ""

    def _weigh(self, tallies: Sequence[_Tally]) -> None:
        """Ask of each fresh passage whether it fulfils its condition."""
        begun = perf_counter()
        asked = [(tally, document) for tally in tallies for document in tally.fresh]
        rendered = [
            self.check_prompt.render(
                condition=tally.plan.condition, passage=in_one_line(first_words(document.full_text, self.max_words))
            )
            for tally, document in asked
        ]
        room = self.llm.context_window - _VERDICT_TOKENS
        tokens = self.llm.count_tokens(rendered) if rendered else []
        fits = [n <= room for n in tokens]
        rows = iter(choose_each(self.llm, [p for p, fit in zip(rendered, fits, strict=True) if fit], ("Yes", "No")))
        for (tally, document), fit in zip(asked, fits, strict=True):
            if not fit:
                tally.counts["too_long"] += 1
                continue
            row, usage = next(rows)
            tally.usage += usage
            share = float(np.exp(row[0] - np.logaddexp(row[0], row[1]))) if np.isfinite(row).any() else np.nan
            if np.isnan(share):
                tally.counts["broken"] += 1
            else:
                tally.mark(document, share >= self.least)
        seconds = (perf_counter() - begun) / max(1, len(tallies))
        for tally in tallies:
            tally.usage += Usage(seconds=seconds)

    def _told(self, tally: _Tally, fields: Mapping[str, Field]) -> Answer:
        documents = [*tally.matched.values()]
        draft = drafted(tally.plan, documents, fields, shown=self.shown)
        counts = {name: n for name, n in (draft.counts + tally.counts).items() if n} | {"matched": len(documents)}
        detail = f"plan: {tally.plan}"
        if tally.plan.condition:
            counts |= self._sureness(tally, draft)
            detail += f"; {draft.text.splitlines()[-1]}"
        mended = any(name in counts for name in ("mended_values", "too_long", "broken"))
        return Answer(
            query=tally.query,
            text=draft.text,
            context=Context(query=tally.query, passages=in_this_order(draft.documents)),
            citations=tuple(draft.citations),
            status="answered" if draft.found else "no_answer",
            outcome=Outcome(kind="repaired" if mended else "ok", detail=detail, counts=counts),
            usage=tally.usage,
        )

    def _sureness(self, tally: _Tally, draft: Draft) -> dict[str, int]:
        """What was read and may be missed, said in the last line of the answer too."""
        unread = max(0, len(self._index.rows(tally.where)) - len(tally.seen))
        tail = tally.marks[-self.patience * self.batch :]
        missed = Missed(unread=unread, tail=len(tail), finds=sum(tail))
        read = len(tally.marks)
        draft.add(
            f"\nRead {read:,} passages and left {unread:,}, as {tally.ended}. An estimate: at most {missed.at_most():,} of those"
            f" left fulfil it too (95%), if they are no likelier to than the last {len(tail)} that were read."
        )
        return {"read": read, "unread": unread, "missed_at_most": missed.at_most()}

    def _otherwise(self, queries: Sequence[Query], why: Sequence[Unplanned]) -> list[Answer]:
        """What becomes of questions without a plan."""
        if self.unplanned == "ask":
            answers = self.answers.run(queries) if queries else []
        else:
            answers = [
                Answer(query=query, text=self.refusal, context=Context(query=query), status="no_answer")
                for query in queries
            ]
        return [_fallen_back(answer, each.trouble, each.detail) for answer, each in zip(answers, why, strict=True)]


def _fallen_back(answer: Answer, trouble: Trouble, detail: str) -> Answer:
    counts = {**answer.outcome.counts, trouble: 1}
    kind: Literal["failed", "fallback"] = "failed" if answer.outcome.kind == "failed" else "fallback"
    return replace(answer, outcome=Outcome(kind=kind, detail=detail, counts=counts))


def _paid(answer: Answer, written: Written) -> Answer:
    """With what planning cost."""
    return replace(answer, usage=answer.usage + written.usage)
