"""Questions about many documents, answered by carrying out a plan: how many, which ones, the first, the last, how many of each."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import prompts
from generators.tally_answer import Draft, drafted
from generators.tally_plan import Plan, Trouble, Unplanned
from generators.tally_planner import Planned, Planner
from rag.core.arguments import require_one_of, require_positive, require_share
from rag.core.filters import Where, both
from rag.core.powers import require_choosing
from rag.core.protocols import ChoosingLLM, Retriever, Subgraph
from rag.core.ranking import in_this_order
from rag.core.types import Answer, Context, Document, Outcome, Prompt, Query
from rag.core.words import first_words, in_one_line
from rag.stages.checks.checker import REFUSAL
from retrievers.index.fields import Field
from retrievers.index_protocol import Index
from retrievers.rounds import Reading, Rounds, weighed

logger = logging.getLogger(__name__)

Otherwise = Literal["ask", "refuse"]


@dataclass(slots=True, kw_only=True)
class _Tally(Reading):
    """What is known of one question. `matched`: document -> the passage that stands for it."""

    plan: Plan
    matched: dict[str, Document] = field(default_factory=dict)

    def wants(self, document: Document) -> bool:
        """Of a document that counts already nothing has to be read."""
        return document.parent not in self.matched

    def mark(self, document: Document, fulfils: bool) -> None:
        """Note what the model said of a passage."""
        self.marks.append(fulfils)
        if fulfils:
            self.matched.setdefault(document.parent, document)


class TallyGenerator:
    """Counts, lists, first and last, and groups of documents, by a plan in a fixed form that is carried out here.

    A model turns the question into a plan: filters on metadata fields (the language of `where`), a condition on the text in a
    few words, and an operation (`generators.tally_plan`). The plan is data. Fields and operations that there are not, and
    filters that cannot be read, make it no plan; no code is run.

    A plan without a condition is exact: it looks at all documents. With one, passages are read in rounds, as
    `retrieve.mentions` does it: the inner retriever is asked for the next `batch`, the model says of each whether it fulfils
    the condition, until `most` were read, `patience` rounds in a row found nothing, or none is left. The answer says how many
    may be missed: an estimate, with its assumption (`retrievers.missed`). What counts is a document, whatever it is cut into.
    The answer is written here and not by the model, and cites what it counts.

    Where there is no plan, or the question is of another kind, the inner graph answers it, outcome `fallback`, or it is
    declined. Counts say why: `no_plan`, `other_question`, `unknown_operation`, `unknown_field`, `bad_filter`.

    One call that plans; for a condition at most `most` calls that weigh a word, and `most` / `batch` searches, rounded up,
    and one more.

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
        self._index = index
        self._planner = Planner(llm=llm, index=index, wanted=fields, prompt=plan_prompt, max_tokens=plan_tokens, by=by)
        self.unplanned, self.refusal, self.shown = unplanned, refusal, shown
        self._rounds = Rounds(batch=batch, patience=patience, most=most)
        self.least, self.max_words = least, max_words
        self.check_prompt = prompts.load(check_prompt)
        self.check_prompt.require("condition", "passage", by=by)

    def generate(self, queries: Sequence[Query]) -> list[Answer]:
        """One answer per query, in order. Its context has the passages that it cites.

        Outcome counts: documents that `matched`; with a condition passages `read`, `unread` and `missed_at_most` (95%), and
        `rounds`; `mended_values` of filters, documents `without_field`, passages that were `too_long` or `broken`.

        Raises:
            SpecError: `fields` names one that no document has.
        """
        if not queries:
            return []
        knowns, wheres = [self._planner.known(query.where) for query in queries], [query.where for query in queries]
        planned = self._planner.plans([query.asked for query in queries], knowns, [""] * len(queries), wheres)
        plans, fields = [each.plan for each in planned], [each.fields for each in planned]
        tallies = {
            place: self._begun(queries[place], plan) for place, plan in enumerate(plans) if isinstance(plan, Plan)
        }
        read = [tally for tally in tallies.values() if tally.plan.condition]
        for going in self._rounds.over(read, self.inner, lambda tally: tally.plan.condition):
            self._weigh(going)
        others = {place: plan for place, plan in enumerate(plans) if isinstance(plan, Unplanned)}
        answers = {place: self._told(tally, fields[place]) for place, tally in tallies.items()}
        answers |= dict(
            zip(others, self._otherwise([queries[place] for place in others], [*others.values()]), strict=True)
        )
        made = [_paid(answers[place], each) for place, each in enumerate(planned)]
        if others:
            first = next(iter(others.values())).detail
            logger.warning("generate.tally: %d of %d have no plan; first: %s", len(others), len(made), first)
        return made

    def fields(self, where: Where | None = None) -> Mapping[str, Field]:
        """The fields that a plan may use, of what may be read by whoever asks with this filter; see `Planner.known`."""
        return self._planner.known(where).fields

    def _begun(self, query: Query, plan: Plan) -> _Tally:
        """A tally; that of a plan without a condition is done."""
        tally = _Tally(query=query, plan=plan, where=both(plan.where, query.where))
        tally.counts["mended_values"] += plan.mended
        if not plan.condition:
            tally.matched = {document.parent: document for document in self._planner.kept(tally.where)}
        return tally

    def _weigh(self, tallies: Sequence[_Tally]) -> None:
        """Ask of each fresh passage whether it fulfils its condition."""
        asked = [(tally, document) for tally in tallies for document in tally.fresh]
        for place, share in weighed(self.llm, [(tally, self._check(tally, each)) for tally, each in asked]).items():
            tally, document = asked[place]
            tally.mark(document, share >= self.least)

    def _check(self, tally: _Tally, document: Document) -> Prompt:
        passage = in_one_line(first_words(document.full_text, self.max_words))
        return self.check_prompt.render(condition=tally.plan.condition, passage=passage)

    def _told(self, tally: _Tally, fields: Mapping[str, Field]) -> Answer:
        draft = drafted(tally.plan, tally.matched.values(), fields, shown=self.shown)
        counts = dict(draft.counts + tally.counts) | {"matched": len(tally.matched)}
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
        read, unreadable = len(tally.marks), tally.counts["too_long"] + tally.counts["broken"]
        unread = max(0, len(self._index.rows(tally.where)) - len(tally.seen)) + unreadable
        missed = self._rounds.missed(tally, unread=unread)
        draft.add(
            f"\nRead {read:,} passages and left {unread:,}, as {tally.ended}. An estimate: at most {missed.at_most():,} of those"
            f" left fulfil it too (95%), if they are no likelier to than the last {missed.tail} that were read."
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


def _paid(answer: Answer, planned: Planned) -> Answer:
    """With what planning cost."""
    return replace(answer, usage=answer.usage + planned.usage)
