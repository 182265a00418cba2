"""Answers from numbered passages, with citations that are checked."""

from __future__ import annotations

import logging
import re
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from copy import copy
from dataclasses import replace
from time import perf_counter
from typing import Any, Literal, cast, get_args

import prompts
from generators.answering import (
    ECHO,
    QUESTION_TOKENS,
    Drained,
    cautious_tokens,
    completed,
    has_content,
    likelihood_of,
    mended,
    mended_pieces,
    opening,
    outcome_of,
    repeats,
    status_of,
    warn,
)
from generators.asked_for import Kind, asked_for, has_value
from generators.cited_form import cited_form
from generators.copies import Copies, can_be_asked_again
from generators.enough import log_odds, spared
from generators.highlights import shown_highlights
from generators.mending import Mender, Said
from generators.second_question import joined, second_question
from generators.tidying import Tidier, tidy
from prompts.template import PromptTemplate
from rag.core.arguments import require_one_of, require_positive, require_share
from rag.core.completions import usage_of, with_history, with_shown, without_shown
from rag.core.llm_protocols import CanKeepForms, KeepsPrompts
from rag.core.powers import kept_forms, reads_of, require_choosing
from rag.core.protocols import LLM, ChoosingLLM
from rag.core.types import (
    NO_USAGE,
    Answer,
    AnswerDelta,
    Completion,
    Context,
    Message,
    Outcome,
    Prompt,
    SamplingParams,
    Usage,
)
from rag.ingest.common_words import NAMES, asked_in
from rag.ingest.language import code_of
from rag.stages.cite import aim_at, attribute, with_similarity
from rag.stages.clauses import ClauseMarks
from rag.stages.markers import Aim, CheckedText, MarkerFilter, check_markers
from rag.stages.passages import numbered
from rag.stages.writing import require_sampling

logger = logging.getLogger(__name__)

Markers = Literal["auto", "form", "free"]

_NOT_KNOWN = "I don't know"
_LAST_WORD = re.compile(r"\w+\Z")
_HELD_BACK = 80
"""Characters without a word of content: numbers, in the end, which are an answer."""
_NOTHING_FOUND = "No passages were found for this question."
_NOT_ENOUGH = Outcome(detail="the passages do not answer the question, says the model", counts={"not_enough": 1})


class CitedGenerator:
    """Answers with numbered citations (after Gao et al., EMNLP 2023, arXiv 2305.14627).

    Passages are numbered in the order of the context. A model that can be held to a regular expression writes sentences that
    end in markers of passages that exist, or the refusal alone (`generators.cited_form`); others write freely. Markers are
    checked; one that points at no passage is removed and counted. Loops, echoes of the prompt and half sentences are left
    out and counted (`generators.mending`); nothing else in the text is changed. One that points at a passage without words
    like those that it is cited for is marked (`Citation.similar`) and counted. An answer that says nothing, such as "Passage
    [2]", is asked for once more without the form, and counted (`asked_again`). Sentences without a marker may be attributed
    to the passage whose words they use: that is a lexical guess, it is kept apart (`by="attribution"`), and no marker is
    added for it. A question without passages is declined without asking the model.

    Args:
        llm: the model that answers.
        prompt: name or path of a prompt with the variables passages and question, and a refusal.
        max_tokens: most tokens of an answer.
        temperature: 0 writes the likeliest answer.
        seed: of the sampling, when the temperature is above 0.
        markers: `form` holds the model to sentences with markers, `free` does not; `auto` is `form` where the model can be
            held to it, and the prompt does not begin the answer.
        enough: name or path of a prompt with the variables passages and question, to which the model says Yes or No before it
            answers: whether the passages answer the question. Where they do not, it is declined. Unset does not ask. A prompt
            that begins as `prompt` does costs little where the model keeps what it read.
        least: log-odds of Yes against No from which on the passages are enough.
        relief: how much lower they may be where a passage has the words of the question (`generators.enough.spared`).
        move_markers: give a marker the number of another passage where the one it names has few of the words that it stands
            behind (`rag.stages.cite.aim_at`), and a clause its own marker, where its passage is another one than that of
            what follows in the sentence (`rag.stages.clauses`); counted.
        copy_exactly: ask the model again for a number, a unit, a day or a name that no passage has, among what the passages
            have (`generators.copies`); counted (`mended_copies`). It needs a model that can be held to choices and says how
            likely they are; with another one nothing is asked.
        right_kind: decline where a question asks for a telephone number, a year or the like (`generators.asked_for`), and the
            answer has none; counted (`no_such_value`). A stream of such an answer is shown from the value on.
        both: ask what an answer leaves open of a question that asks two things in one sentence (`generators.second_question`),
            as a turn after it; what that adds is put behind it and counted (`second_asked`).
        in_its_language: ask for the answer in the language of the question, where that is told (`asked_in`), and it is not English,
            as the prompt is, or a passage is in another one.
        attribute: also attribute sentences that have no marker.
        threshold: least share of a sentence's content words, weighted by rarity, that the passage must hold.
        margin: how far the best passage must be ahead of the second best.
        likelihood: also note how likely the model found its own words (`Answer.likelihood`), for what judges answers.
    """

    def __init__(
        self,
        *,
        llm: LLM,
        prompt: str = "answer_cited",
        max_tokens: int = 256,
        temperature: float = 0.0,
        seed: int = 0,
        markers: Markers = "auto",
        enough: str | None = None,
        least: float = 0.0,
        relief: float = 0.0,
        move_markers: bool = False,
        copy_exactly: bool = False,
        right_kind: bool = False,
        both: bool = False,
        in_its_language: bool = False,
        attribute: bool = True,
        threshold: float = 0.6,
        margin: float = 0.1,
        likelihood: bool = False,
    ) -> None:
        require_positive("generate.cited", max_tokens=max_tokens)
        require_sampling("generate.cited", temperature=temperature)
        require_share("generate.cited", threshold=threshold, margin=margin)
        require_one_of("generate.cited", get_args(Markers), markers=markers)
        self.llm, self.max_tokens = llm, max_tokens
        self.attribute, self.threshold, self.margin = attribute, threshold, margin
        self.move_markers, self.copy_exactly, self.right_kind, self.both = move_markers, copy_exactly, right_kind, both
        self.in_its_language = in_its_language
        self.prompt = prompts.load(prompt)
        self.prompt.require("passages", "question", by="generate.cited")
        if markers == "form" and not isinstance(llm, CanKeepForms):
            raise ValueError(
                "generate.cited: markers: form needs a model that can hold an answer to a form, and this one cannot;"
                " llm.llama_cpp, llm.server (vLLM) and llm.vllm_offline can. markers: auto is free without one."
            )
        if markers == "form" and opening(self.prompt.turns):
            raise ValueError(
                f"generate.cited: prompt '{prompt}' begins the answer, so no form can hold all of it; use markers: free"
            )
        if relief < 0:
            raise ValueError(f"generate.cited: relief must be 0 or more, got {relief}")
        self.markers = markers
        self.least, self.relief = least, relief
        self.enough = prompts.load(enough) if enough else None
        if self.enough:
            self.enough.require("passages", "question", by="generate.cited")
            require_choosing(llm, by="generate.cited: enough", instead="Without enough it is not asked.")
        self._params = SamplingParams(
            max_tokens=max_tokens, temperature=temperature, seed=seed, logprobs=int(likelihood)
        )

    @property
    def reads(self) -> frozenset[str]:
        """What its model reads: one that sees is shown the pictures that passages carry, and those of the question."""
        return reads_of(self.llm)

    @property
    def keeps_form(self) -> bool:
        """Whether answers are held to the form. It may ask a server what it can, and loads nothing."""
        if self.markers == "auto":
            return "regex" in kept_forms(self.llm) and not opening(self.prompt.turns)
        return self.markers == "form"

    def describe(self) -> dict[str, str]:
        """How markers are written."""
        return {"markers": "form" if self.keeps_form else "free"}

    def room(self) -> int:
        """Tokens that passages may have beside the prompt, a question and the answer. A cautious estimate."""
        words = [turn.content for turn in self.prompt.turns]
        return self.llm.context_window - self.max_tokens - QUESTION_TOKENS - cautious_tokens(words)

    def with_sampling(self, **changes: Any) -> CitedGenerator:
        """The same generator and model, writing with these fields of `SamplingParams` changed."""
        other = copy(self)
        other._params = replace(self._params, **changes)
        return other

    def generate(self, contexts: Sequence[Context]) -> list[Answer]:
        """One answer per context, in order. Contexts without passages cost no call.

        Where it is asked first whether the passages are enough, as many go together as the model keeps prompts of: each is
        read once for both.
        """
        at_once = self.llm.kept_prompts if self.enough and isinstance(self.llm, KeepsPrompts) else max(1, len(contexts))
        groups = (contexts[first : first + at_once] for first in range(0, len(contexts), at_once))
        answers = [answer for group in groups for answer in self._answers(group)]
        warn(logger, "generate.cited", answers)
        return answers

    def _answers(self, contexts: Sequence[Context]) -> list[Answer]:
        started = perf_counter()
        asked = [context for context in contexts if context.passages]
        found = self._found_enough(asked)
        enough = [self._is_enough(context, odds) for context, (odds, _) in zip(asked, found, strict=True)]
        requests = [context for context, answered in zip(asked, enough, strict=True) if answered]
        rendered = [self._render(self.prompt, context) for context in requests]
        completions = self._completed(requests, rendered, [self._sampling(context) for context in requests])
        written = iter(self._of_both(self._written(requests, rendered, completions)))
        seconds = (perf_counter() - started) / max(1, len(asked))
        judged = iter(zip(found, enough, strict=True))
        answers = []
        for context in contexts:
            if not context.passages:
                answers.append(self._declined(context))
                continue
            (odds, usage), answered = next(judged)
            usage += Usage(seconds=seconds)
            answer = self._of_kind(next(written)) if answered else self._declined(context)
            answers.append(replace(answer, enough=odds, usage=answer.usage + usage))
        return [replace(each, context=without_shown(each.context)) for each in answers]

    def stream(self, context: Context) -> Iterator[AnswerDelta]:
        """The answer piece by piece; joined, the pieces are the final text.

        What may become a marker is held back until it can be judged. Closing the iterator stops the model.
        """
        started = perf_counter()
        [(odds, usage)] = self._found_enough([context]) if context.passages else [(None, NO_USAGE)]
        if not context.passages or not self._is_enough(context, odds):
            declined = replace(self._declined(without_shown(context)), enough=odds, usage=usage)
            yield AnswerDelta(text=declined.text)
            yield AnswerDelta(answer=declined)
            return
        written = Drained[Answer](self._pieces(context))
        kind, texts, held, shown = self._kind(context), _texts(context), "", False
        with closing(written):
            for piece in written:
                held += piece
                if shown := shown or kind is None or has_value(kind, held, texts):
                    yield AnswerDelta(text=held)
                    held = ""
        first = written.value
        [answer] = self._of_both([first])
        if shown and answer is not first:
            yield AnswerDelta(text=answer.text[len(first.text) :])
        answer = answer if shown else self._of_kind(answer)
        if held:
            yield AnswerDelta(text=answer.text)
        spent = usage + Usage(seconds=perf_counter() - started)
        answer = replace(answer, enough=odds, usage=answer.usage + spent, context=without_shown(context))
        warn(logger, "generate.cited", [answer])
        yield AnswerDelta(answer=answer)

    def _written(
        self, contexts: Sequence[Context], rendered: Sequence[Prompt], completions: Sequence[Completion]
    ) -> list[Answer]:
        """The answers; those that say nothing are asked for once more, without the form."""
        answers = [self._answer(*each) for each in zip(contexts, rendered, completions, strict=True)]
        again = [place for place, answer in enumerate(answers) if answer.status == "failed" and self.keeps_form]
        if again:
            of_these = [contexts[place] for place in again], [rendered[place] for place in again]
            freely = self._completed(*of_these, [self._params] * len(again))
            for place, completion in zip(again, freely, strict=True):
                second = self._answer(contexts[place], rendered[place], completion)
                answers[place] = self._second(second, first=answers[place])
        return answers

    def _pieces(self, context: Context) -> Generator[str, None, Answer]:
        """Pieces of the answer, and in the end the answer. None is given before something is said, so that it can be asked for
        once more."""
        answer, given = yield from self._held(context, self._sampling(context))
        if answer.status == "failed" and self.keeps_form and not given:
            second, given = yield from self._held(context, self._params)
            answer = self._second(second, first=answer)
        if answer.text and not given:
            yield answer.text
        return answer

    def _held(self, context: Context, sampling: SamplingParams) -> Generator[str, None, tuple[Answer, bool]]:
        """Pieces from the first word on that says something, and in the end the answer and whether there were any."""
        tried, given = Drained[Answer](self._try(context, sampling)), False
        with closing(tried):
            for piece in _from_first_word(tried, context.query.asked):
                given = True
                yield piece
        return tried.value, given

    def _second(self, answer: Answer, *, first: Answer) -> Answer:
        """An answer that was asked for again, as the first one said nothing; a refusal, where it only repeats the question."""
        counts = {**answer.outcome.counts, "asked_again": 1}
        usage = first.usage + answer.usage
        if answer.status == "failed" and repeats(answer.text, answer.query.asked, least=ECHO):
            outcome = Outcome(detail="the model only repeated the question", counts=counts)
            return replace(self._declined(answer.context), outcome=outcome, usage=usage)
        return replace(answer, outcome=replace(answer.outcome, counts=counts), usage=usage)

    def _try(self, context: Context, sampling: SamplingParams) -> Generator[str, None, Answer]:
        """Pieces of the text as they are settled, and in the end the answer."""
        checker, mender = MarkerFilter(_doc_ids(context), aim=self._aim(context)), self._mender(context)
        marks, tidier = self._clause_marks(context), Tidier()
        parts: list[str] = []
        prompt = self._render(self.prompt, context)
        copies = self._copies(context, prompt)
        drained = Drained[Completion](mended_pieces(self.llm, prompt, sampling, mender))
        with closing(drained):
            for piece in drained:
                if settled := checker.add(marks.add(tidier.add(copies.add(piece)))):
                    parts.append(settled)
                    yield settled
        last = tidier.add(copies.finish()) + tidier.finish()
        if rest := checker.add(marks.add(last) + marks.finish()) + checker.finish():
            parts.append(rest)
            yield rest
        checked = checker.checked("".join(parts))
        return self._judged(context, drained.value, checked, mender, marks, copies)

    def _found_enough(self, contexts: Sequence[Context]) -> Sequence[tuple[float | None, Usage]]:
        """The log-odds that each context's passages are enough, and what it cost to ask; None where it is not asked."""
        if self.enough is None:
            return [(None, NO_USAGE)] * len(contexts)
        rendered = [self._render(self.enough, context) for context in contexts]
        return log_odds(cast(ChoosingLLM, self.llm), rendered)

    def _kind(self, context: Context) -> Kind | None:
        return asked_for(context.query.asked) if self.right_kind else None

    def _of_kind(self, answer: Answer) -> Answer:
        """The answer, or a refusal in the place of one without a value of the kind that is asked for."""
        kind = self._kind(answer.context)
        if kind is None or answer.status != "answered" or has_value(kind, answer.text, _texts(answer.context)):
            return answer
        outcome = Outcome(
            detail=f"the question asks for {kind.name}, and the answer has none", counts={"no_such_value": 1}
        )
        return replace(self._declined(answer.context), outcome=outcome, usage=answer.usage)

    def _of_both(self, answers: Sequence[Answer]) -> list[Answer]:
        """The answers, with what they leave open of questions that ask two things; all of these are asked together."""
        found, refusal = [*answers], self.prompt.refusal or _NOT_KNOWN
        answered = [place for place, each in enumerate(answers) if self.both and each.status == "answered"]
        seconds = {place: second for place in answered if (second := second_question(answers[place].query.asked))}
        contexts = [answers[place].context for place in seconds]
        first = [Message(role="assistant", content=answers[place].text) for place in seconds]
        asked = [Message(role="user", content=second) for second in seconds.values()]
        rendered = [(*self._render(self.prompt, each), *two) for each, *two in zip(contexts, first, asked, strict=True)]
        completions = self._completed(contexts, rendered, [self._sampling(context, refusal) for context in contexts])
        for place, context, prompt, completion in zip(seconds, contexts, rendered, completions, strict=True):
            found[place] = joined(found[place], self._answer(context, prompt, completion), refusal=refusal)
        return found

    def _is_enough(self, context: Context, odds: float | None) -> bool:
        if odds is None or odds >= self.least:
            return True
        return odds >= self.least - spared(context.query.asked, _texts(context), self.relief)

    def _render(self, prompt: PromptTemplate, context: Context) -> Prompt:
        told = _in_its_language(context) if self.in_its_language and prompt is self.prompt else ""
        turns = prompt.render(passages=self.shown(context), question=context.query.asked + told)
        return with_history(with_shown(turns, context, self.reads), context.query)

    def shown(self, context: Context) -> str:
        """What the model reads of a context."""
        passages = [numbered(hit.document, number) for number, hit in enumerate(context.passages, start=1)]
        return "\n\n".join([*passages, *filter(None, [shown_highlights(context)])])

    def _sampling(self, context: Context, refusal: str | None = None) -> SamplingParams:
        """`refusal`: what it may say instead; the prompt's own, where nothing is named."""
        if not self.keeps_form:
            return self._params
        wanted = self.prompt.refusal if refusal is None else refusal
        return replace(self._params, regex=cited_form(len(context.passages), wanted))

    def _completed(
        self, contexts: Sequence[Context], rendered: Sequence[Prompt], params: Sequence[SamplingParams]
    ) -> list[Completion]:
        return completed(self.llm, rendered, params, map(self._mender, contexts))

    def _mender(self, context: Context) -> Mender:
        titles = [hit.document.title for hit in context.passages]
        question, refusal = context.query.asked, self.prompt.refusal
        return Mender(Said.of(self.prompt.turns, question=question, titles=titles, refusal=refusal))

    def _answer(self, context: Context, prompt: Prompt, completion: Completion) -> Answer:
        mender = self._mender(context)
        text, completion = mended(prompt, completion, mender)
        marks, copies = self._clause_marks(context), self._copies(context, prompt)
        copied = tidy(copies.add(text) + copies.finish())
        checked = check_markers(marks.add(copied) + marks.finish(), _doc_ids(context), aim=self._aim(context))
        return self._judged(context, completion, checked, mender, marks, copies)

    def _copies(self, context: Context, prompt: Prompt) -> Copies:
        passages = [hit.document.full_text for hit in context.passages]
        llm = self.llm if self.copy_exactly and can_be_asked_again(self.llm) else None
        return Copies(llm, prompt, question=context.query.asked, passages=passages)

    def _aim(self, context: Context) -> Aim | None:
        return aim_at([hit.document for hit in context.passages]) if self.move_markers else None

    def _clause_marks(self, context: Context) -> ClauseMarks:
        return ClauseMarks([hit.document for hit in context.passages] if self.move_markers else [])

    def _judged(
        self,
        context: Context,
        completion: Completion,
        checked: CheckedText,
        mender: Mender,
        marks: ClauseMarks,
        copies: Copies,
    ) -> Answer:
        refusal, question = self._refusal if self.enough else self.prompt.refusal, context.query.asked
        status = status_of(checked.text, refusal=refusal, question=question)
        documents = [hit.document for hit in context.passages]
        citations = with_similarity(checked.text, checked.citations, documents)
        dissimilar = sum(not citation.similar for citation in citations)
        if self.attribute and status == "answered":
            citations += attribute(
                checked.text,
                documents,
                cited=citations,
                threshold=self.threshold,
                margin=self.margin,
            )
        return Answer(
            query=context.query,
            text=checked.text,
            context=context,
            citations=tuple(sorted(citations, key=lambda c: (c.start, c.marker))),
            likelihood=likelihood_of(completion),
            status=status,
            finish_reason=completion.finish_reason,
            outcome=outcome_of(
                completion,
                status,
                mended=mender.counts,
                removed=checked.removed,
                in_code=checked.in_code,
                moved=checked.moved,
                added=marks.added,
                copied=copies.mended,
                dissimilar=dissimilar,
            ),
            usage=usage_of(completion) + copies.usage,
        )

    @property
    def _refusal(self) -> str:
        return f"{(self.prompt.refusal or _NOT_KNOWN).rstrip('.')}."

    def _declined(self, context: Context) -> Answer:
        return Answer(
            query=context.query,
            text=self._refusal if context.passages or self.prompt.refusal else _NOTHING_FOUND,
            context=context,
            status="no_answer",
            outcome=_NOT_ENOUGH if context.passages else Outcome(kind="empty", detail="no passages"),
        )


def _from_first_word(pieces: Iterable[str], question: str) -> Iterator[str]:
    """The pieces, the first ones joined: none before the first whole word of content that the question did not tell, unless
    what comes is long without one."""
    begun, said = "", False
    for piece in pieces:
        begun += "" if said else piece
        if said:
            yield piece
            continue
        repeated = repeats(_LAST_WORD.sub("", begun), question)
        if said := not repeated and (has_content(begun) or len(begun) > _HELD_BACK):
            yield begun


def _texts(context: Context) -> list[str]:
    return [hit.document.text for hit in context.passages]


def _doc_ids(context: Context) -> list[str]:
    return [hit.document.doc_id for hit in context.passages]


def _in_its_language(context: Context) -> str:
    """What is said behind a question so that the answer is in its language; empty where that goes without saying."""
    code = asked_in(context.query.asked)
    others = (code_of(hit.document.metadata) not in ("", code) for hit in context.passages)
    return f"\n\nAnswer in {NAMES[code]}." if code in NAMES and (code != "en" or any(others)) else ""
