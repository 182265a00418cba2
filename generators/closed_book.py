"""Answers from what the model knows: the baseline that retrieval has to beat."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing
from copy import copy
from dataclasses import replace
from time import perf_counter
from typing import Any

import prompts
from generators.answering import Drained, completed, mended, mended_pieces, outcome_of, status_of, warn
from generators.mending import Mender, Said
from rag.core.arguments import require_positive
from rag.core.completions import usage_of, with_history
from rag.core.protocols import LLM
from rag.core.types import Answer, AnswerDelta, Completion, Context, Prompt, Query, SamplingParams
from rag.stages.writing import require_sampling

logger = logging.getLogger(__name__)


class ClosedBookGenerator:
    """Answers without passages: closed-book question answering (Roberts et al., EMNLP 2020, arXiv 2002.08910).

    Args:
        llm: the model that answers.
        prompt: name or path of a prompt with the variable question, and a refusal.
        max_tokens: most tokens of an answer.
        temperature: 0 writes the likeliest answer.
        seed: of the sampling, when the temperature is above 0.
    """

    def __init__(
        self,
        *,
        llm: LLM,
        prompt: str = "answer_closed_book",
        max_tokens: int = 256,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> None:
        require_positive("generate.closed_book", max_tokens=max_tokens)
        require_sampling("generate.closed_book", temperature=temperature)
        self.llm, self.max_tokens = llm, max_tokens
        self.prompt = prompts.load(prompt)
        self.prompt.require("question", by="generate.closed_book")
        self._params = SamplingParams(max_tokens=max_tokens, temperature=temperature, seed=seed)

    def with_sampling(self, **changes: Any) -> ClosedBookGenerator:
        """The same generator and model, writing with these fields of `SamplingParams` changed."""
        other = copy(self)
        other._params = replace(self._params, **changes)
        return other

    def generate(self, queries: Sequence[Query]) -> list[Answer]:
        """One answer per query, in order, with an empty context and no citations."""
        if not queries:
            return []
        started = perf_counter()
        rendered = [self._render(query) for query in queries]
        completions = completed(self.llm, rendered, [self._params] * len(queries), map(self._mender, queries))
        seconds = (perf_counter() - started) / len(queries)
        written = zip(queries, rendered, completions, strict=True)
        answers = []
        for query, prompt, completion in written:
            mender = self._mender(query)
            text, completion = mended(prompt, completion, mender)
            answers.append(self._answer(query, text, completion, mender, seconds))
        warn(logger, "generate.closed_book", answers)
        return answers

    def stream(self, query: Query) -> Iterator[AnswerDelta]:
        """The answer piece by piece; joined, the pieces are the final text. Closing it stops the model."""
        started = perf_counter()
        mender, parts = self._mender(query), list[str]()
        drained = Drained[Completion](mended_pieces(self.llm, self._render(query), self._params, mender))
        with closing(drained):
            for piece in drained:
                parts.append(piece)
                yield AnswerDelta(text=piece)
        answer = self._answer(query, "".join(parts), drained.value, mender, perf_counter() - started)
        warn(logger, "generate.closed_book", [answer])
        yield AnswerDelta(answer=answer)

    def _render(self, query: Query) -> Prompt:
        return with_history(self.prompt.render(question=query.asked), query)

    def _mender(self, query: Query) -> Mender:
        return Mender(Said.of(self.prompt.turns, question=query.asked, refusal=self.prompt.refusal))

    def _answer(self, query: Query, text: str, completion: Completion, mender: Mender, seconds: float) -> Answer:
        status = status_of(text, refusal=self.prompt.refusal)
        return Answer(
            query=query,
            text=text,
            context=Context(query=query),
            status=status,
            finish_reason=completion.finish_reason,
            outcome=outcome_of(completion, status, mended=mender.counts),
            usage=usage_of(completion, seconds=seconds),
        )
