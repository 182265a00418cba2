"""Questions that ask for a number of documents, all of them, a sum, the first or the last: worked out, where fields tell it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from generators.tally_answer import drafted, told_filter
from generators.tally_named import coded, invented, left_out, misplaced, without_invented
from generators.tally_plan import ENDS_AND_MEAN, Plan, Unplanned, ordered_fields
from generators.tally_planner import Planned, Planner
from generators.tally_question import Asked, Known, has_form, read_question
from generators.tally_tables import name_of_table
from rag.core.arguments import require_positive
from rag.core.filters import Filter, both
from rag.core.filters.operators import Equal, OneOf
from rag.core.protocols import LLM
from rag.core.ranking import in_this_order
from rag.core.types import NO_USAGE, OK, Context, Outcome, Settled
from rag.core.words import in_one_line
from retrievers.index_protocol import Index

logger = logging.getLogger(__name__)

_LOOKED_AT = 10_000
"""Passages that fields are learnt from: reading them takes about a second, of an index of any size. Counted are all."""

_SHOWN = 60
"""Characters of a value in a message."""

_CANNOT = (
    "This asks for a number over all documents, and their fields do not tell it: {why}. Passages that were found cannot"
    " be counted in its place, for there may be more of them."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counting:
    """A question that is counted. `rows`: what it counts among; None means all documents."""

    context: Context
    asked: Asked
    known: Known
    rows: Filter | None
    planned: Planned


class CountsAssembler:
    """The same passages, or the answer, where a question asks for what no few passages can tell and fields do (ours).

    Rules tell such questions (`generators.tally_question`): by their form, and by values, fields or tables that they name.
    Only of these the model writes a plan, as `generate.tally` has it: one call. A plan that fields alone decide is carried out
    over all documents that whoever asks may read, and the context has the answer (`Context.settled`) and what it cites. The most,
    the least and the mean are asked of the rows of one table, which is named or found, and of the field that is named.
    A plan that leaves out a name or a value of the question does not decide it; nor does one whose fields no document has
    together, or one that finds nothing by a condition that nobody made. Where a number is asked for and there is no such plan,
    the answer says so. Other questions keep their passages.

    Args:
        llm: the model that plans.
        index: the index whose documents are counted.
        fields: metadata fields that a plan may use; none named means all that documents have.
        shown: documents, or values, that an answer names and cites, at most.
        plan_tokens: most tokens of a plan.
        plan_prompt: name or path of a prompt with the variables fields and question, answered with a JSON object.
    """

    of_answers: ClassVar[bool] = True

    def __init__(
        self,
        *,
        llm: LLM,
        index: Index,
        fields: tuple[str, ...] = (),
        shown: int = 5,
        plan_tokens: int = 128,
        plan_prompt: str = "tally_plan",
    ) -> None:
        by = "assemble.counts"
        require_positive(by, shown=shown, plan_tokens=plan_tokens)
        self.llm, self.shown = llm, shown
        self._planner = Planner(
            llm=llm,
            index=index,
            wanted=fields,
            prompt=plan_prompt,
            max_tokens=plan_tokens,
            looked_at=_LOOKED_AT,
            by=by,
        )

    def assemble(self, contexts: Sequence[Context]) -> list[Context]:
        """One context per context, in order.

        Outcome counts: documents that `matched` a plan, and `without_field`; `mended_values` of its filter; `not_counted` where
        there is no plan that fields decide, and `other_question` where the model says that it is none.
        """
        found = {counting.context.qid: self._settled(counting) for counting in self._countings(contexts)}
        return [found.get(each.qid) or replace(each, outcome=OK, usage=NO_USAGE) for each in contexts]

    def _countings(self, contexts: Sequence[Context]) -> list[_Counting]:
        asked = dict[tuple[str, ...], list[tuple[Context, Asked, Known, Filter | None]]]()
        for context in contexts:
            question = context.query.root.text
            if not has_form(question):
                continue
            known = self._planner.known(context.query.where)
            found = [hit.document.metadata for hit in context.passages]
            read = read_question(question, known, found=found)
            if read is None:
                continue
            if read.sources:
                known = self._planner.known_of(read.sources, context.query.where)
            alike = ordered_fields(known.fields, question) if read.most else ()  # their plans have one form
            asked.setdefault(alike, []).append((context, read, known, self._planner.rows_of(read.sources)))
        countings = list[_Counting]()
        for alike, some in asked.items():
            planned = self._planner.plans(
                [context.query.root.text for context, *_ in some],
                [known for _, _, known, _ in some],
                [name_of_table(read.sources) for _, read, *_ in some],
                [both(rows, context.query.where) for context, *_, rows in some],
                most=alike,
            )
            countings += [
                _Counting(context=context, asked=read, known=known, rows=rows, planned=plan)
                for (context, read, known, rows), plan in zip(some, planned, strict=True)
            ]
        return countings

    def _settled(self, counting: _Counting) -> Context:
        plan = counting.planned.plan
        question, most = counting.context.query.root.text, counting.asked.most
        if isinstance(plan, Plan) and (most or not coded(plan.where, question, counting.planned.fields)):
            may_go = (Equal, OneOf) if most else (OneOf,)  # one value alone may be what the question calls otherwise
            plan = replace(plan, where=without_invented(plan.where, question, of=may_go))
        if isinstance(plan, Plan) and plan.operation == "count" and not counting.asked.number:
            plan = replace(plan, operation="list")  # "which" asks for the things themselves
        left = _unread(plan, counting) if isinstance(plan, Plan) else ""
        if isinstance(plan, Plan) and not left:
            return self._carried_out(plan, counting)
        other = isinstance(plan, Unplanned) and plan.trouble == "other_question"
        return _not_counted(counting, plan.detail if isinstance(plan, Unplanned) else left, other=other)

    def _carried_out(self, plan: Plan, counting: _Counting) -> Context:
        query = counting.context.query
        documents = self._planner.kept(both(both(plan.where, counting.rows), query.where))
        called = "row" if counting.asked.sources else "document"
        draft = drafted(plan, documents, counting.planned.fields, shown=self.shown, called=called)
        if not draft.counts["matched"] and (doubt := _doubt(plan, counting)):
            return _not_counted(counting, doubt)
        draft.add(f"\n{_counted_by(plan, counting)}")
        counts = draft.counts | Counter(mended_values=plan.mended)
        outcome = Outcome(detail=f"plan: {plan}", counts={name: n for name, n in counts.items() if n})
        settled = Settled(
            text=draft.text,
            citations=tuple(draft.citations),
            status="answered" if draft.found else "no_answer",
            outcome=outcome,
        )
        return Context(
            query=query,
            passages=in_this_order(draft.documents),
            settled=settled,
            outcome=outcome,
            usage=counting.planned.usage,
        )


def _not_counted(counting: _Counting, why: str, *, other: bool = False) -> Context:
    """The passages, or where a number is asked for, that passages do not tell it. `other`: the model says that it is none."""
    why = why.rstrip(".")
    logger.info("assemble.counts: no plan that fields decide: %s", why)
    context, usage = counting.context, counting.planned.usage
    outcome = Outcome(detail=why, counts={"other_question" if other else "not_counted": 1})
    if other or not counting.asked.number:
        return replace(context, outcome=outcome, usage=usage)
    settled = Settled(text=_CANNOT.format(why=why), status="no_answer", outcome=outcome)
    return replace(context, settled=settled, outcome=outcome, usage=usage)


def _unread(plan: Plan, counting: _Counting) -> str:
    """What it takes reading for: the plan's own condition, or what the question names and the plan says nothing of.

    A number without these would be that of another question.
    """
    if counting.asked.most and plan.operation not in ENDS_AND_MEAN:
        return f"the most, the least or a mean is asked for, and the plan is {plan.operation}"
    question, fields = counting.context.query.root.text, counting.planned.fields
    told = f"{plan} {' '.join((*fields, *coded(plan.where, question, fields)))} {name_of_table(counting.asked.sources)}"
    unread = plan.condition or " ".join(left_out(question, told, counting.known))
    return f"it takes reading for '{unread}'" if unread else ""


def _doubt(plan: Plan, counting: _Counting) -> str:
    """Why a plan that finds nothing is likelier wrong than right; empty where it is not."""
    if value := invented(plan.where, counting.context.query.root.text):
        return f"the question says nothing of '{in_one_line(value)[:_SHOWN]}'"
    value = misplaced(plan.where, counting.planned.fields)
    return f"another field has the value '{in_one_line(value)[:_SHOWN]}'" if value else ""


def _counted_by(plan: Plan, counting: _Counting) -> str:
    """Over what, and by what: a plan may be wrong, so whoever reads the number sees what it is of."""
    what = f"rows of {', '.join(counting.asked.sources)}" if counting.asked.sources else "documents"
    return f"Worked out over all {what}{f' with {told_filter(plan.where)}' if plan.where is not None else ''}."
