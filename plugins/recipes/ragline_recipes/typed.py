"""Answers in the form that a question's type asks for: yes or no, short facts, a list, or a few sentences."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

import prompts
from rag.protocols import LLM, ChoosingLLM
from rag.types import Answer, Completion, Context, Document, Outcome, Prompt, SamplingParams, ScoredDocument, Usage
from rag.writing import (
    Mender,
    Said,
    attribute,
    choose_each,
    first_words,
    folded,
    in_one_line,
    kept_forms,
    lacking,
    list_form,
    mended,
    numbered,
    outcome_of,
    parse_list,
    picked_of,
    require_choosing,
    require_one_of,
    require_positive,
    sentences,
    status_of,
    usage_of,
    warn,
    with_history,
    without_reasoning,
)
from ragline_recipes.choosing import chosen, require_several
from ragline_recipes.question_type import Kind, kind_of
from ragline_recipes.verbatim import occurrences

logger = logging.getLogger(__name__)

KINDS: tuple[Kind, ...] = get_args(Kind)

MOST_ENTRIES = {"factoid": 5, "list": 100}
"""Entries of an answer, at most, as the track has it."""

LONGEST_ENTRY = 100
"""Characters of an entry, at most."""

MOST_WORDS = 200
"""Words of a summary, at most."""

_MARK = "- "
_NOT_FOUND = "I don't know."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """A context to be answered, its place in the batch, its kind, and what it cost to ask for the kind."""

    place: int
    context: Context
    kind: Kind
    usage: Usage


class TypedGenerator:
    """Answers of four types from few shots (BioASQ few-shot: Ateia and Kruschwitz, CLEF 2024, arXiv 2407.13511).

    yes_no: one of `choices`. factoid: at most five short facts, the surest first. list: at most a hundred entries of at most
    a hundred characters. summary: at most 200 words. Facts and entries stand one a line behind a dash (`entries_of` reads
    them). Where passages have snippets in their metadata (`rerank.snippets`), those are shown in place of their text. Shots
    come before the case as turns of the chat; one with the question itself is left out.

    A model that can choose says how likely each of `choices` is: nothing is parsed, and `Answer.likelihood` is the
    log-probability of the one it takes. Another one writes; what then cannot be read is the second choice, as in the paper,
    and counted (`unread`). Lists are held to their form where the model can be, and read from JSON or lines; entries that are
    too long or too many are dropped and counted. No model writes markers: lines and sentences are attributed to the
    passages whose words they use. One call a question, and one more that weighs its type where the kind is `auto`; none
    where there is no passage. The prompts are `typed_yes_no`, `typed_factoid`, `typed_list`, `typed_summary` and `typed_kind`.

    Differs from the paper: two shots of each type come with ragline, where the paper has ten from the track's own answers;
    yes and no are weighed; its models write up to 4,096 tokens.

    Args:
        llm: the model that answers.
        kind: the type of all questions; `rules` reads it out of an English question's words; `auto` asks the model, which
            must then be able to choose from a closed list.
        choices: the answers of yes_no, at least two.
        shots: name or path of a file of shots by kind; null shows none.
        n_shots: how many of a kind are shown; fewer where a prompt would not fit.
        max_words: words of a passage, or of its snippets, that are shown.
        max_tokens: most tokens of an answer.
    """

    def __init__(
        self,
        *,
        llm: LLM,
        kind: Literal["rules", "auto", "yes_no", "factoid", "list", "summary"] = "rules",
        choices: tuple[str, ...] = ("yes", "no"),
        shots: str | None = "typed",
        n_shots: int = 10,
        max_words: int = 200,
        max_tokens: int = 256,
    ) -> None:
        by = "generate.typed"
        require_positive(by, max_words=max_words, max_tokens=max_tokens)
        require_one_of(by, ("rules", "auto", *KINDS), kind=kind)
        require_several(by, "choices", choices)
        if n_shots < 0:
            raise ValueError(f"{by}: n_shots must be 0 or more, got {n_shots}")
        if kind == "auto":
            require_choosing(llm, by=f"{by}: kind auto", instead="kind: rules asks no model.")
        self.llm, self.kind, self.choices = llm, kind, choices
        self.needs: tuple[str, ...] = ("choose",) if kind == "auto" else ()
        self.n_shots, self.max_words, self.max_tokens = n_shots, max_words, max_tokens
        self._kind_prompt = prompts.load("typed_kind")
        self._kind_prompt.require("question", by=by)
        self._prompts = {each: prompts.load(f"typed_{each}") for each in KINDS}
        self.shots = prompts.load_shots(shots) if shots else None
        for each, prompt in self._prompts.items():
            prompt.require("passages", "question", *self._given(each), by=by)
            if self.shots:
                self.shots.require(prompt, by=by, kind=each, given=self._given(each))

    def generate(self, contexts: Sequence[Context]) -> list[Answer]:
        """One answer per context, in order. Contexts without passages are declined without a call."""
        answers = dict(enumerate(map(_declined, contexts)))
        cases = self._cases([(place, context) for place, context in enumerate(contexts) if context.passages])
        for kind in KINDS:
            some = [case for case in cases if case.kind == kind]
            for case, answer in zip(some, self._answers(kind, some) if some else [], strict=True):
                counts = {**answer.outcome.counts, kind: 1}
                outcome = replace(answer.outcome, counts=counts)
                answers[case.place] = replace(answer, outcome=outcome, usage=answer.usage + case.usage)
        made = [answers[place] for place in range(len(contexts))]
        warn(logger, "generate.typed", made)
        return made

    def _cases(self, asked: Sequence[tuple[int, Context]]) -> list[_Case]:
        """What is to be answered, with its kind; the first of equally likely ones, and a summary where the model breaks down."""
        if self.kind != "auto":
            return [
                _Case(place=place, context=context, kind=self._named(context), usage=Usage())
                for place, context in asked
            ]
        begun = perf_counter()
        rendered = [self._kind_prompt.render(question=in_one_line(context.query.asked)) for _, context in asked]
        rows = choose_each(cast(ChoosingLLM, self.llm), rendered, KINDS)
        seconds = (perf_counter() - begun) / max(1, len(asked))
        return [
            _Case(place=place, context=context, kind=_likeliest(row), usage=usage + Usage(seconds=seconds))
            for (place, context), (row, usage) in zip(asked, rows, strict=True)
        ]

    def _named(self, context: Context) -> Kind:
        """The type that the graph or the question's words name."""
        return kind_of(context.query.asked) if self.kind == "rules" else cast(Kind, self.kind)

    def _answers(self, kind: Kind, cases: Sequence[_Case]) -> list[Answer]:
        """The answers to questions of one kind, in one batch."""
        contexts = [case.context for case in cases]
        requests = self._requests(kind, contexts)
        if kind == "yes_no" and not lacking(self.llm, ["choose"]):
            return chosen(cast(ChoosingLLM, self.llm), contexts, requests, self.choices, self._told)
        begun = perf_counter()
        completions = self.llm.complete(requests, self._params(kind))
        seconds = (perf_counter() - begun) / len(cases)
        return [
            replace(self._read(kind, context, prompt, completion), usage=usage_of(completion, seconds=seconds))
            for context, prompt, completion in zip(contexts, requests, completions, strict=True)
        ]

    def _requests(self, kind: Kind, contexts: Sequence[Context]) -> list[Prompt]:
        prompt, given = self._prompts[kind], self._given(kind)
        questions = [in_one_line(context.query.asked) for context in contexts]
        rendered = [
            prompt.render(passages=self._shown(context), question=question, **given)
            for context, question in zip(contexts, questions, strict=True)
        ]
        shots = [
            self.shots.turns(prompt, self.n_shots, but_not=question, kind=kind, **given) if self.shots else []
            for question in questions
        ]
        made = prompts.with_shots(self.llm, rendered, shots, room=self.max_tokens)
        return [with_history(turns, context.query) for turns, context in zip(made, contexts, strict=True)]

    def _given(self, kind: Kind) -> dict[str, str]:
        """Variables that only some prompts have."""
        return {"choices": " or ".join(self.choices)} if kind == "yes_no" else {}

    def _params(self, kind: Kind) -> SamplingParams:
        forms = kept_forms(self.llm)
        if kind == "yes_no" and "choices" in forms:
            return SamplingParams(max_tokens=self.max_tokens, choices=self.choices)
        if kind in MOST_ENTRIES and "regex" in forms:
            return SamplingParams(max_tokens=self.max_tokens, regex=list_form(MOST_ENTRIES[kind]))
        return SamplingParams(max_tokens=self.max_tokens)

    def _shown(self, context: Context) -> str:
        shown = [_with_snippets(hit.document, self.max_words) for hit in context.passages]
        return "\n\n".join(numbered(document, number) for number, document in enumerate(shown, start=1))

    def _told(self, context: Context, logs: NDArray[np.float64]) -> Answer:
        best = int(np.argmax(logs))
        return Answer(query=context.query, text=self.choices[best], context=context, likelihood=float(logs[best]))

    def _read(self, kind: Kind, context: Context, prompt: Prompt, completion: Completion) -> Answer:
        if kind == "summary":
            return self._summary(context, prompt, completion)
        return self._choice(context, completion) if kind == "yes_no" else _listed(kind, context, completion)

    def _choice(self, context: Context, completion: Completion) -> Answer:
        said = folded(without_reasoning(completion.text))
        first = [choice for choice in self.choices if (0, len(folded(choice))) in occurrences(folded(choice), said)]
        named = next(iter(first), None)
        outcome = Outcome()
        if named is None:
            detail = f"the reply begins with none of {', '.join(self.choices)}"
            outcome = Outcome(kind="fallback", detail=detail, counts={"unread": 1})
        return Answer(query=context.query, text=named or self.choices[1], context=context, outcome=outcome)

    def _summary(self, context: Context, prompt: Prompt, completion: Completion) -> Answer:
        mender = Mender(Said.of(self._prompts["summary"].turns, question=context.query.asked))
        text, completion = mended(prompt, completion, mender)
        text, over = _within(text.strip(), MOST_WORDS)
        status = status_of(text, refusal="")
        outcome = outcome_of(completion, status, mended=mender.counts)
        if over:
            detail = f"{over} sentence{'s' * (over > 1)} beyond {MOST_WORDS} words left out"
            outcome = Outcome(kind="repaired", detail=detail, counts={**outcome.counts, "over_length": over})
        return Answer(
            query=context.query,
            text=text,
            context=context,
            citations=attribute(text, _documents(context.passages)),
            status=status,
            finish_reason=completion.finish_reason,
            outcome=outcome,
        )


def entries_of(answer: Answer) -> list[str]:
    """The facts or entries of an answer, in order; none where it is declined.

    >>> from rag.types import Context, Query
    >>> query = Query(qid="q", text="Which sugars?")
    >>> entries_of(Answer(query=query, text="- glucose\\n- galactose", context=Context(query=query)))
    ['glucose', 'galactose']
    """
    lines = answer.text.splitlines() if answer.status == "answered" else []
    return [line.removeprefix(_MARK) for line in lines]


def _declined(context: Context) -> Answer:
    outcome = Outcome(kind="empty", detail="no passages")
    return Answer(query=context.query, text=_NOT_FOUND, context=context, status="no_answer", outcome=outcome)


def _likeliest(row: NDArray[np.float64]) -> Kind:
    return KINDS[int(np.nanargmax(row))] if np.isfinite(row).any() else "summary"


def _with_snippets(document: Document, words: int) -> Document:
    """A passage as it is shown: its snippets, if some were picked out, in the order of the text."""
    picked = sorted(picked_of(document), key=lambda span: int(span["start"]))
    text = " … ".join(str(span["text"]) for span in picked) or document.text
    return replace(document, text=first_words(text, words))


def _listed(kind: Kind, context: Context, completion: Completion) -> Answer:
    """An answer of several entries, one a line."""
    items = parse_list(completion.text)
    if items is None:
        outcome = Outcome(kind="failed", detail="the reply holds no list", counts={"unread": 1})
        return Answer(query=context.query, text="", context=context, status="failed", outcome=outcome)
    unlike: dict[str, str] = {}
    for item in items:
        unlike.setdefault(folded(item), in_one_line(item))
    entries = [item for item in unlike.values() if len(item) <= LONGEST_ENTRY]
    kept = entries[: MOST_ENTRIES[kind]]
    troubles = {
        "repeated": len(items) - len(unlike),
        "too_long": len(unlike) - len(entries),
        "too_many": len(entries) - len(kept),
        "cut_off": int(completion.finish_reason == "length"),
    }
    counts = {name: n for name, n in troubles.items() if n}
    dropped = sum(counts.get(name, 0) for name in ("repeated", "too_long", "too_many"))
    detail = f"{dropped} of {len(items)} entries left out" if dropped else ""
    text = "\n".join(_MARK + entry for entry in kept)
    return Answer(
        query=context.query,
        text=text or _NOT_FOUND,
        context=context,
        citations=attribute(text, _documents(context.passages), min_terms=1),
        status="answered" if kept else "no_answer",
        finish_reason=completion.finish_reason,
        outcome=Outcome(kind="repaired" if dropped else "ok", detail=detail, counts=counts),
    )


def _documents(passages: Sequence[ScoredDocument]) -> list[Document]:
    return [hit.document for hit in passages]


def _within(text: str, words: int) -> tuple[str, int]:
    """The sentences of a text that have at most so many words together, and how many were left out. A longer first one is cut."""
    spans = list(sentences(text))
    kept = 0
    for number, (_, end) in enumerate(spans, start=1):
        if len(text[:end].split()) <= words:
            kept = number
    if kept == len(spans):
        return text, 0
    return (text[: spans[kept - 1][1]] if kept else first_words(text, words)), len(spans) - kept
