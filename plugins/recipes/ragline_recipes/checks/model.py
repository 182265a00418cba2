"""Verdicts by a language model that is asked whether a passage says so: yes, no or unknown."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

import numpy as np

import prompts
from rag.protocols import ChoosingLLM
from rag.types import Usage
from rag.writing import (
    REFUSAL,
    Claim,
    SentenceChecker,
    Unsupported,
    Weighed,
    cached_tokens,
    fitted,
    in_one_line,
    in_place,
    most_like,
    passage_text,
    require_choosing,
    require_positive,
)

_WORDS = ("Yes", "No", "Unknown")


class ModelChecker(SentenceChecker):
    """Asks a model of every sentence whether a passage says so. It writes nothing: the words of the answer are weighed.

    support = p(yes) / (p(yes) + p(no) + p(unknown)) where the answer begins, against = p(no) / (p(no) + p(unknown)). These
    are no calibrated chances. A sentence is held against the passages that it cites, then those that share most words
    with it, one call each; the passage stands first, so that sentences about it share its states.

    Args:
        llm: the model that judges; it must be able to choose from a closed list.
        passages: how many passages each sentence is held against.
        threshold: least support, from 0 to 1. The defaults of this and the next are those that `benchmarks.verdicts` chose
            for qwen2.5-coder-1.5b-instruct.gguf; other models have their own (docs/answers.md).
        against: least share of no, from 0 to 1, that makes an unsupported sentence contradicted.
        trusted: say supported and contradicted instead of similar and unsupported. Measure the model first
            (docs/answers.md).
        unsupported: what becomes of an answer with unsupported sentences. tell leaves it as it is, drop leaves the sentences
            out, refuse refuses the whole.
        refusal: the words of a refusal.
        max_words: words of a passage, title included, that are shown; fewer where a prompt would not fit.
        prompt: name or path of a prompt with the variables passage and claim.
    """

    by = "model"

    def __init__(
        self,
        *,
        llm: ChoosingLLM,
        passages: int = 1,
        threshold: float = 0.9,
        against: float = 0.8,
        trusted: bool = False,
        unsupported: Unsupported = "tell",
        refusal: str = REFUSAL,
        max_words: int = 300,
        prompt: str = "verdict",
    ) -> None:
        super().__init__(
            threshold=threshold, against=against, trusted=trusted, unsupported=unsupported, refusal=refusal
        )
        require_positive("check.model", passages=passages, max_words=max_words)
        self.llm = require_choosing(llm, by="check.model")
        self.passages, self.max_words = passages, max_words
        self.prompt = prompts.load(prompt)
        self.prompt.require("passage", "claim", by="check.model")

    def weigh(self, claims: Sequence[Claim]) -> list[Weighed]:
        """Shares of yes and no for each claim, in one batch; not judged where the model broke down."""
        looked = [most_like(claim, self.passages) for claim in claims]
        asked = [(claim, place) for claim, places in zip(claims, looked, strict=True) for place in places]
        answers = iter(self._answers(asked) if asked else [])
        return [_weighed({place: next(answers) for place in places}) for places in looked]

    def _answers(self, asked: Sequence[tuple[Claim, int]]) -> list[tuple[float, float, Usage]]:
        """Support, against, and the cost of each question; not finite where the model broke down."""
        started = perf_counter()
        renders = [
            lambda words, claim=claim, place=place: self.prompt.render(
                passage=passage_text(claim.passages[place], words), claim=_shown(claim)
            )
            for claim, place in asked
        ]
        told = fitted(self.llm, renders, words=self.max_words, rooms=[8] * len(renders))
        requests = [one.prompt for one in told]
        table = self.llm.choose(requests, in_place(requests, _WORDS)).astype(np.float64)
        cached = cached_tokens(self.llm, len(told))
        seconds = (perf_counter() - started) / len(told)
        with np.errstate(invalid="ignore"):
            rest = np.logaddexp(table[:, 1], table[:, 2])
            support = np.exp(table[:, 0] - np.logaddexp(table[:, 0], rest))
            against = np.exp(table[:, 1] - rest)
        return [
            (
                float(support[row]),
                float(against[row]),
                Usage(calls=1, prompt_tokens=one.tokens, cached_tokens=cached[row], seconds=seconds),
            )
            for row, one in enumerate(told)
        ]


def _shown(claim: Claim) -> str:
    """A claim as the prompt shows it, on lines of its own. The question is left out where there is none."""
    said = in_one_line(claim.text)
    return f"Question: {in_one_line(claim.question)}\nAnswer: {said}" if claim.question else f"Claim: {said}"


def _weighed(answers: dict[int, tuple[float, float, Usage]]) -> Weighed:
    return Weighed(
        support={place: support for place, (support, _, _) in answers.items()},
        against={place: against for place, (_, against, _) in answers.items()},
        usage=sum((usage for _, _, usage in answers.values()), Usage()),
        judged=all(np.isfinite((support, against)).all() for support, against, _ in answers.values()),
    )
