"""A persuasive reply of which every claim is backed: a draft, its claims checked, and what fails replaced by facts."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import prompts
from rag.protocols import LLM, Checker, Retriever
from rag.stages import CHECKERS
from rag.types import (
    NO_USAGE,
    Answer,
    Context,
    Message,
    Outcome,
    Prompt,
    Query,
    SamplingParams,
    ScoredDocument,
    Usage,
)
from rag.writing import (
    attribute,
    defused,
    first_words,
    folded,
    in_one_line,
    kept_forms,
    list_form,
    parse_list,
    parse_question,
    picked_of,
    require_choosing,
    require_one_of,
    require_positive,
    require_sampling,
    require_share,
    sentences,
    status_of,
    warn,
    without_reasoning,
    write,
)
from ragline_recipes.checks.model import ModelChecker
from ragline_recipes.shared_words import shared

logger = logging.getLogger(__name__)

Check = Literal["words", "model"]
State = Literal["kept", "replaced", "dropped"]

_CLAIMS = 4
"""Claims of a section, at most."""

_LONGEST_NAME = 40
"""Characters of a strategy's name."""

_FACT_WORDS = 60
_UNNAMED = "unnamed"
_NOTHING = "none"
_DECLINED = "I have nothing to say that the documents back."


@dataclass(slots=True, kw_only=True)
class _Section:
    """A sentence of a draft, what it is meant to do, what it claims, and what became of it."""

    text: str
    strategy: str = _UNNAMED
    claims: list[str] = field(default_factory=list)
    state: State = "kept"
    facts: list[str] = field(default_factory=list)

    @property
    def line(self) -> str:
        """What the last prompt is told of it. The words of a section that failed are not among that."""
        if self.state == "kept":
            return f"- {self.strategy}, to be said: {self.text}"
        return f"- {self.strategy}, from these facts alone: {' '.join(self.facts)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    """What a check says of a claim. `backed`: None where it has nothing that could be weighed. `hit`: by which passage."""

    backed: bool | None
    refuted: bool
    hit: ScoredDocument | None


@dataclass(slots=True, kw_only=True)
class _Turn:
    """One reply in the making. `evidence`: passages that it rests on, by doc_id, in order of use."""

    query: Query
    sections: list[_Section] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)
    evidence: dict[str, ScoredDocument] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    usage: Usage = NO_USAGE

    @property
    def parts(self) -> str:
        """What the reply may be made of; empty where there is nothing."""
        asked = [f"- answer to what was asked, from these facts alone: {' '.join(self.facts)}"] if self.facts else []
        return "\n".join(asked + [section.line for section in self.sections if section.state != "dropped"])

    @property
    def dialogue(self) -> str:
        """The turns so far, one a line."""
        turns = [*self.query.history, Message(role="user", content=self.query.asked)]
        said = [turn for turn in turns if turn.role != "system"]
        return "\n".join(f"{'You' if turn.role == 'assistant' else 'They'}: {_line(turn.content)}" for turn in said)

    def inner(self, text: str) -> Query:
        """A search on the way, under the filter of the query."""
        return Query(qid=self.query.qid, text=text, where=self.query.where, within=self.query.within)


class PersuadeGenerator:
    """A persuasive reply whose claims are checked (PersuaBot: Furumai et al., 2024, arXiv 2407.03585).

    1. The model says what the last turn asks for, if anything; facts are searched for that.
    2. It writes a persuasive reply out of its own head. Each sentence is a section.
    3. It names the strategy of each section and lists its claims, each understood alone.
    4. Passages are searched for each claim, and a check of this house says whether they have it. A section with a claim that
       fails is not used as it stands: facts are searched for that would serve its strategy. A fact counts that has a share
       of the words that were searched for, `relevance`, and that passes the check as a claim does; where there is none the
       section goes. A section that claims nothing, such as a greeting, is kept.
    5. The reply is written from the sections that stood, strategies with their new facts, and the facts that were asked for.

    What failed never reaches the last prompt. The reply is not checked again: put a `check` behind it. It has no markers;
    sentences are attributed to the passages whose words they use. Where nothing is left it declines, without a last call.
    A section whose strategies and claims cannot be read is itself its claim, and so is one that has a digit and, as the model
    says, no claim.

    At most 3 + 2 * `sections` calls, and `sections` * 4 * `passages` more where a model checks. Steps of a batch go together.
    The outcome tells strategies with what became of them, and counts `sections`, `kept`, `replaced`, `dropped`, `avoided`,
    `claims`, `claims_backed`, `claims_refuted` (of those that are not backed, where the check says that a passage says
    otherwise), `unread`, and of facts that were found and left `irrelevant` and `unbacked`.

    Persuasion serves any goal, so the goal is named in the graph and stands in every prompt.

    Differs from the paper: sections are sentences; whether a fact is relevant is told by words, where the paper asks a model;
    a claim is refuted only by a check that is `trusted`, and fails then as one that nothing backs; steps are asked without
    shots.

    Args:
        llm: the model that writes.
        evidence: what claims are searched with.
        facts: what facts are searched with, those that were asked for and those that serve a strategy. Of a hit with snippets
            (`rerank.snippets`) these are the facts, else its first words.
        goal: what the reply is to bring about: "that they give a part of their pay to the charity".
        prefer: strategies that the draft is asked to use.
        avoid: strategies that are not to be used: sections that the model gives one of these names go.
        check: what says whether a passage has a claim: `words` asks no model; `model` wants one that can choose.
        sections: sentences of a draft that are used.
        trusted: the check `model` may say that a passage says otherwise. Measure the model first (docs/answers.md).
        passages: passages that a claim is held against, and hits that facts are taken from.
        relevance: share of the content words of a search that a fact must have, for whatever stands nearest is found by a
            search, and need not be near; 0 takes all.
        max_tokens: most tokens of a draft and of a reply.
        plan_tokens: most tokens of a search query, and of a strategy with its claims.
        temperature: 0 writes the likeliest words.
        seed: of the sampling, when the temperature is above 0.
    """

    def __init__(
        self,
        *,
        llm: LLM,
        evidence: Retriever,
        facts: Retriever,
        goal: str,
        prefer: tuple[str, ...] = (),
        avoid: tuple[str, ...] = (),
        check: Check = "words",
        trusted: bool = False,
        sections: int = 6,
        passages: int = 3,
        relevance: float = 0.5,
        max_tokens: int = 256,
        plan_tokens: int = 128,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> None:
        by = "generate.persuade"
        require_positive(by, sections=sections, passages=passages, max_tokens=max_tokens, plan_tokens=plan_tokens)
        require_one_of(by, get_args(Check), check=check)
        require_sampling(by, temperature=temperature)
        require_share(by, relevance=relevance)
        if not goal.strip():
            raise ValueError(f"{by}: goal must say what the reply is to bring about, got {goal!r}")
        _require_no_contradiction(by, prefer, avoid)
        if trusted and check == "words":
            raise ValueError(f"{by}: trusted is for check model; words refute nothing")
        self.llm, self.evidence, self.facts = llm, evidence, facts
        self.needs: tuple[str, ...] = ("choose",) if check == "model" else ()
        self.goal, self.prefer, self.avoid = in_one_line(goal), prefer, {folded(name) for name in avoid}
        self.sections, self.passages, self.relevance = sections, passages, relevance
        self._checker: Checker = CHECKERS.get("words")()
        if check == "model":
            judge = require_choosing(llm, by=f"{by}: check model", instead="check: words asks no model.")
            self._checker = ModelChecker(llm=judge, passages=passages, trusted=trusted)
        self._question = prompts.load("persuade_question")
        self._question.require("dialogue", by=by)
        self._draft = prompts.load("persuade_draft")
        self._draft.require("goal", "dialogue", "strategies", by=by)
        self._section = prompts.load("persuade_section")
        self._section.require("dialogue", "section", by=by)
        self._search = prompts.load("persuade_search")
        self._search.require("goal", "strategy", "section", by=by)
        self._reply = prompts.load("persuade_reply")
        self._reply.require("goal", "dialogue", "parts", by=by)
        self._writing = SamplingParams(max_tokens=max_tokens, temperature=temperature, seed=seed)
        self._planning = SamplingParams(max_tokens=plan_tokens, temperature=temperature, seed=seed)

    def generate(self, queries: Sequence[Query]) -> list[Answer]:
        """One reply per query, in order: to the query as the last turn of its history."""
        turns = [_Turn(query=query) for query in queries]
        if not turns:
            return []
        self._find_what_was_asked(turns)
        self._write_sections(turns)
        self._check_claims(turns)
        self._replace_what_failed(turns)
        replies = self._written_replies([turn for turn in turns if turn.parts])
        answers = [self._answer(turn, replies.get(turn.query.qid)) for turn in turns]
        warn(logger, "generate.persuade", answers)
        return answers

    def drafts(self, queries: Sequence[Query]) -> list[str]:
        """What the model writes out of its own head, one text per query, in order."""
        return self._drafts([_Turn(query=query) for query in queries])

    def backed(self, claims: Sequence[tuple[Query, str]]) -> list[bool | None]:
        """Whether passages have each claim, as the check says; None where it has no content that could be weighed."""
        return [each.backed for each in self._verdicts([(_Turn(query=query), claim) for query, claim in claims])]

    def _find_what_was_asked(self, turns: Sequence[_Turn]) -> None:
        """Facts for what the last turn asks, where it asks for any."""
        asked = [(turn, self._question.render(dialogue=turn.dialogue)) for turn in turns]
        found = self._ask(asked, self._planning, parse_question)
        going = [(turn, text) for turn, text in zip(turns, found, strict=True) if text and folded(text) != _NOTHING]
        for (turn, _), facts in zip(going, self._found(going), strict=True):
            turn.facts = facts

    def _write_sections(self, turns: Sequence[_Turn]) -> None:
        """A draft, its sentences with their strategies and claims; those with a strategy to be avoided go."""
        for turn, draft in zip(turns, self._drafts(turns), strict=True):
            spans = list(sentences(draft))[: self.sections]
            turn.sections = [_Section(text=in_one_line(draft[start:end])) for start, end in spans]
            turn.counts["sections"] += len(turn.sections)
        every = [(turn, section) for turn in turns for section in turn.sections]
        asked = [
            (turn, self._section.render(dialogue=turn.dialogue, section=_line(section.text))) for turn, section in every
        ]
        regex = list_form(1 + _CLAIMS) if "regex" in kept_forms(self.llm) else ""
        replies = self._ask(asked, replace(self._planning, regex=regex), without_reasoning)
        for (turn, section), reply in zip(every, replies, strict=True):
            _name(turn, section, reply)
            if folded(section.strategy) in self.avoid:
                section.state = "dropped"
                turn.counts["avoided"] += 1

    def _check_claims(self, turns: Sequence[_Turn]) -> None:
        """Hold every claim of the sections that are left against what is found for it."""
        every = [
            (turn, section, claim)
            for turn in turns
            for section in turn.sections
            if section.state == "kept"
            for claim in section.claims
        ]
        verdicts = self._verdicts([(turn, claim) for turn, _, claim in every])
        hits: list[tuple[_Turn, _Section, ScoredDocument]] = []
        for (turn, section, _), verdict in zip(every, verdicts, strict=True):
            turn.counts["claims"] += verdict.backed is not None
            turn.counts["claims_backed"] += verdict.backed is True
            turn.counts["claims_refuted"] += verdict.refuted
            if verdict.backed is False:
                section.state = "dropped"
            elif verdict.hit is not None:
                hits.append((turn, section, verdict.hit))
        for turn, section, hit in hits:
            if section.state == "kept":
                turn.evidence.setdefault(hit.doc_id, hit)

    def _verdicts(self, claims: Sequence[tuple[_Turn, str]]) -> list[_Verdict]:
        """What the check says of each claim, over the passages that are found for it."""
        if not claims:
            return []
        rankings = self.evidence.retrieve([turn.inner(claim) for turn, claim in claims], k=self.passages)
        asked = []
        for (turn, claim), ranking in zip(claims, rankings, strict=True):
            turn.usage += ranking.usage
            context = Context(query=turn.query, passages=ranking.hits)
            asked.append(Answer(query=turn.query, text=claim, context=context))
        made: list[_Verdict] = []
        for (turn, _), answer in zip(claims, self._checker.check(asked), strict=True):
            turn.usage += answer.usage
            kinds = [verdict.kind for verdict in answer.verdicts]
            markers = [verdict.marker for verdict in answer.verdicts if verdict.marker]
            backed = all(kind in ("supported", "similar") for kind in kinds) if kinds else None
            hit = answer.context.passages[markers[0] - 1] if markers else None
            made.append(_Verdict(backed=backed, refuted="contradicted" in kinds, hit=hit))
        return made

    def _replace_what_failed(self, turns: Sequence[_Turn]) -> None:
        """Facts that serve the strategies of the sections that did not stand; those that are avoided stay dropped."""
        failed = [
            (turn, section)
            for turn in turns
            for section in turn.sections
            if section.state == "dropped" and folded(section.strategy) not in self.avoid
        ]
        asked = [
            (turn, self._search.render(goal=self.goal, strategy=section.strategy, section=_line(section.text)))
            for turn, section in failed
        ]
        queries = self._ask(asked, self._planning, parse_question)
        going = [(turn, section, text) for (turn, section), text in zip(failed, queries, strict=True) if text]
        for (_, section, _), facts in zip(going, self._found([(t, text) for t, _, text in going]), strict=True):
            if facts:
                section.state, section.facts = "replaced", facts

    def _found(self, asked: Sequence[tuple[_Turn, str]]) -> list[list[str]]:
        """The facts that are found for each search, one line each; their passages become evidence."""
        rankings = self.facts.retrieve([turn.inner(text) for turn, text in asked], k=self.passages) if asked else []
        found: list[list[str]] = [[] for _ in asked]
        near: list[tuple[int, ScoredDocument, str]] = []
        for place, ((turn, text), ranking) in enumerate(zip(asked, rankings, strict=True)):
            turn.usage += ranking.usage
            facts = [(hit, fact) for hit in ranking.hits for fact in _facts_of(hit)]
            relevant = [(place, hit, fact) for hit, fact in facts if shared(text, fact) >= self.relevance]
            turn.counts["irrelevant"] += len(facts) - len(relevant)
            near += relevant
        verdicts = self._verdicts([(asked[place][0], fact) for place, _, fact in near])
        for (place, hit, fact), verdict in zip(near, verdicts, strict=True):
            turn = asked[place][0]
            turn.counts["unbacked"] += verdict.backed is False
            if verdict.backed is not False:
                turn.evidence.setdefault(hit.doc_id, hit)
                found[place].append(fact)
        return found

    def _written_replies(self, turns: Sequence[_Turn]) -> dict[str, str]:
        """qid -> the last text, of those that have something to say."""
        asked = [(turn, self._reply.render(goal=self.goal, dialogue=turn.dialogue, parts=turn.parts)) for turn in turns]
        texts = self._ask(asked, self._writing, _plain)
        return {turn.query.qid: text for turn, text in zip(turns, texts, strict=True)}

    def _drafts(self, turns: Sequence[_Turn]) -> list[str]:
        wanted = ", ".join(in_one_line(name) for name in self.prefer) or "whichever fits"
        asked = [
            (turn, self._draft.render(goal=self.goal, dialogue=turn.dialogue, strategies=wanted)) for turn in turns
        ]
        return self._ask(asked, self._writing, _plain)

    def _ask(
        self, asked: Sequence[tuple[_Turn, Prompt]], params: SamplingParams, read: Callable[[str], str]
    ) -> list[str]:
        """What the model writes to each prompt, empty where it is of no use; one batch."""
        written = write(self.llm, [[prompt] for _, prompt in asked], params, read=read) if asked else []
        for (turn, _), each in zip(asked, written, strict=True):
            turn.usage += each.usage
        return ["".join(each.texts) for each in written]

    def _answer(self, turn: _Turn, text: str | None) -> Answer:
        context = Context(query=turn.query, passages=tuple(turn.evidence.values()))
        counts = dict(turn.counts + Counter(section.state for section in turn.sections))
        detail = "; ".join(f"{section.strategy}: {section.state}" for section in turn.sections)
        status = "no_answer" if text is None else status_of(text, refusal="")
        outcome = Outcome(detail=detail, counts=counts)
        if status == "failed":
            outcome = Outcome(kind="failed", detail="the model wrote no reply", counts=counts)
        return Answer(
            query=turn.query,
            text=_DECLINED if text is None else text,
            context=context,
            citations=attribute(text, [hit.document for hit in context.passages]) if text else (),
            status=status,
            outcome=outcome,
            usage=turn.usage,
        )


def _require_no_contradiction(by: str, prefer: Sequence[str], avoid: Sequence[str]) -> None:
    """Raise ValueError for a strategy without a name, or one that is both to be used and to be avoided."""
    if not all(folded(name) for name in (*prefer, *avoid)):
        raise ValueError(f"{by}: prefer and avoid must be names of strategies, none empty")
    both = [name for name in prefer if folded(name) in {folded(other) for other in avoid}]
    if both:
        raise ValueError(f"{by}: '{both[0]}' stands in both prefer and avoid; take it out of one of them")


def _plain(text: str) -> str:
    return without_reasoning(text).strip()


def _line(text: str) -> str:
    """A text that cannot open a turn of its own."""
    return in_one_line(defused(text))


def _name(turn: _Turn, section: _Section, reply: str) -> None:
    """Note the strategy and the claims of a section. What cannot be read, or looks like a claim, is checked as it stands."""
    items = parse_list(reply)
    if not items:
        turn.counts["unread"] += 1
        section.claims = [section.text]
        return
    section.strategy = in_one_line(items[0])[:_LONGEST_NAME]
    section.claims = [in_one_line(claim) for claim in items[1 : 1 + _CLAIMS]]
    if not section.claims and any(c.isdigit() for c in section.text):
        section.claims = [section.text]


def _facts_of(hit: ScoredDocument) -> list[str]:
    """What a hit has to say: its snippets, else its first words."""
    picked = [_line(str(span["text"])) for span in picked_of(hit.document)]
    return picked or [_line(first_words(hit.document.text, _FACT_WORDS))]
