"""Answers from numbered passages, with citations that are checked."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import replace
from time import perf_counter
from typing import Any

import prompts
from generators.answering import (
    QUESTION_TOKENS,
    cautious_tokens,
    likelihood_of,
    opening,
    outcome_of,
    pieces,
    status_of,
    warn,
)
from rag.core.arguments import require_positive
from rag.core.completions import usage_of, with_history
from rag.core.protocols import LLM
from rag.core.types import Answer, AnswerDelta, Completion, Context, Outcome, Prompt, SamplingParams
from rag.stages.cite import attribute, with_similarity
from rag.stages.markers import CheckedText, MarkerFilter, check_markers
from rag.stages.passages import numbered

logger = logging.getLogger(__name__)

_NOTHING_FOUND = "No passages were found for this question."


class CitedGenerator:
    """Answers with numbered citations (after Gao et al., EMNLP 2023, arXiv 2305.14627).

    Passages are numbered in the order of the context. Markers that the model writes are checked; one that points at no
    passage is removed and counted, and nothing else in the text is changed. One that points at a passage without words
    like those that it is cited for is marked (`Citation.similar`) and counted. Sentences without a marker may be attributed
    to the passage whose words they use: that is a lexical guess, it is kept apart (`by="attribution"`), and no marker is
    ever added to the text. A question without passages is declined without asking the model.

    Args:
        llm: the model that answers.
        prompt: name or path of a prompt with the variables passages and question, and a refusal.
        max_tokens: most tokens of an answer.
        temperature: 0 writes the likeliest answer.
        seed: of the sampling, when the temperature is above 0.
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
        attribute: bool = True,
        threshold: float = 0.6,
        margin: float = 0.1,
        likelihood: bool = False,
    ) -> None:
        require_positive("generate.cited", max_tokens=max_tokens)
        if not temperature >= 0:
            raise ValueError(f"generate.cited: temperature must be 0 or above, got {temperature}")
        for name, share in (("threshold", threshold), ("margin", margin)):
            if not 0 <= share <= 1:
                raise ValueError(f"generate.cited: {name} must be from 0 to 1, got {share}")
        self.llm, self.max_tokens = llm, max_tokens
        self.attribute, self.threshold, self.margin = attribute, threshold, margin
        self.prompt = prompts.load(prompt)
        self.prompt.require("passages", "question", by="generate.cited")
        self._params = SamplingParams(
            max_tokens=max_tokens, temperature=temperature, seed=seed, logprobs=int(likelihood)
        )

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
        """One answer per context, in order. Contexts without passages cost no call."""
        requests = [context for context in contexts if context.passages]
        started = perf_counter()
        rendered = [self._render(context) for context in requests]
        completions = self.llm.complete(rendered, self._params) if requests else []
        seconds = (perf_counter() - started) / max(1, len(requests))
        written = zip(rendered, completions, strict=True)
        answers = [
            self._answer(context, *next(written), seconds) if context.passages else self._declined(context)
            for context in contexts
        ]
        warn(logger, "generate.cited", answers)
        return answers

    def stream(self, context: Context) -> Iterator[AnswerDelta]:
        """The answer piece by piece; joined, the pieces are the final text.

        What may become a marker is held back until it can be judged. Closing the iterator stops the model.
        """
        if not context.passages:
            declined = self._declined(context)
            yield AnswerDelta(text=declined.text)
            yield AnswerDelta(answer=declined)
            return
        started = perf_counter()
        checker = MarkerFilter(_doc_ids(context))
        parts: list[str] = []
        source = pieces(self.llm, self._render(context), self._params)
        try:
            while True:
                try:
                    settled = checker.add(next(source))
                except StopIteration as end:
                    completion: Completion = end.value
                    break
                if settled:
                    parts.append(settled)
                    yield AnswerDelta(text=settled)
        finally:
            source.close()
        rest = checker.finish()
        if rest:
            parts.append(rest)
            yield AnswerDelta(text=rest)
        checked = CheckedText(
            text="".join(parts), citations=checker.citations, removed=checker.removed, in_code=checker.in_code
        )
        answer = self._judged(context, completion, checked, perf_counter() - started)
        warn(logger, "generate.cited", [answer])
        yield AnswerDelta(answer=answer)

    def _render(self, context: Context) -> Prompt:
        passages = "\n\n".join(numbered(hit.document, number) for number, hit in enumerate(context.passages, start=1))
        turns = self.prompt.render(passages=passages, question=context.query.asked)
        return with_history(turns, context.query)

    def _answer(self, context: Context, prompt: Prompt, completion: Completion, seconds: float) -> Answer:
        checked = check_markers(opening(prompt) + completion.text, _doc_ids(context))
        return self._judged(context, completion, checked, seconds)

    def _judged(self, context: Context, completion: Completion, checked: CheckedText, seconds: float) -> Answer:
        status = status_of(checked.text, refusal=self.prompt.refusal)
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
                completion, status, removed=checked.removed, in_code=checked.in_code, dissimilar=dissimilar
            ),
            usage=usage_of(completion, seconds=seconds),
        )

    def _declined(self, context: Context) -> Answer:
        return Answer(
            query=context.query,
            text=f"{self.prompt.refusal.rstrip('.')}." if self.prompt.refusal else _NOTHING_FOUND,
            context=context,
            status="no_answer",
            outcome=Outcome(kind="empty", detail="no passages"),
        )


def _doc_ids(context: Context) -> list[str]:
    return [hit.document.doc_id for hit in context.passages]
