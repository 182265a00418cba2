"""Questions about a few lettered passages, put to a model: by the likelihood of each letter, or by what it writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Literal

import numpy as np

from prompts import PromptTemplate
from rag.core.arguments import require_positive
from rag.core.completions import cached_tokens, usage_of
from rag.core.in_step import Places, Shown
from rag.core.powers import require_choosing
from rag.core.protocols import LLM, ChoosingLLM
from rag.core.types import Completion, Message, Prompt, Usage
from rerankers.forms import letters, written
from rerankers.labels import LABELS, parse_labels
from rerankers.passages import Fitted, fitted, lettered
from rerankers.work import Work

Scoring = Literal["likelihood", "generation"]

_SPARE = 8  # tokens a reply may be longer than its letters


class LetterJudge:
    """Answers questions of `rag.core.in_step`, a step in one batch.

    likelihood: the letters are weighed at the place of the answer; nothing is written, so nothing can be malformed.
    generation: the model writes letters, greedily, held to the form of an answer if it can be (`rerankers.forms`); what
    it wrote is mended and counted.

    Args:
        prompt: with the variables passages and query, and those of each question's `values`.
        max_words: words per passage.
        by: the component that asks.
    """

    def __init__(self, *, llm: LLM, prompt: PromptTemplate, scoring: Scoring, max_words: int, by: str) -> None:
        if scoring not in ("likelihood", "generation"):
            raise ValueError(f"{by}: scoring must be likelihood or generation, got {scoring!r}")
        require_positive(by, max_words=max_words)
        self._llm, self._prompt, self._max_words, self._by = llm, prompt, max_words, by
        self._chooser: ChoosingLLM | None = None
        if scoring == "likelihood":
            instead = "scoring: generation takes any model."
            self._chooser = require_choosing(llm, by=f"{by}: scoring likelihood", instead=instead)

    def __call__(
        self,
        questions: Sequence[tuple[Work, Shown]],
        *,
        keep: Sequence[int] | None = None,
        values: Sequence[Mapping[str, str]] | None = None,
    ) -> list[Places]:
        """Places of each question's passages, best first.

        Args:
            keep: how many each asks for, where not one; likelihood orders all of them anyway.
            values: more variables of each prompt.
        """
        started = perf_counter()
        kept = keep or [1] * len(questions)
        more = values or [{}] * len(questions)
        most = max(len(shown) for _, shown in questions)
        room = self._reply_tokens(max(kept), most)
        renders = [
            lambda words, work=work, shown=shown, extra=extra: self._prompt.render(
                passages=lettered([work.documents[item] for item in shown], words),
                query=work.ranking.query.text,
                **extra,
            )
            for (work, shown), extra in zip(questions, more, strict=True)
        ]
        prompts = fitted(self._llm, renders, words=self._max_words, rooms=[room] * len(renders))
        for (work, _), one in zip(questions, prompts, strict=True):
            work.counts["shortened"] += one.shortened
        if self._chooser is not None:
            return self._chosen(self._chooser, questions, prompts, most, started)
        return self._written(questions, prompts, kept, room, started)

    def _chosen(
        self,
        llm: ChoosingLLM,
        questions: Sequence[tuple[Work, Shown]],
        prompts: Sequence[Fitted],
        most: int,
        started: float,
    ) -> list[Places]:
        table = llm.choose([one.prompt for one in prompts], in_place([one.prompt for one in prompts], LABELS[:most]))
        cached = cached_tokens(llm, len(prompts))
        seconds = (perf_counter() - started) / len(prompts)
        answers: list[Places] = []
        for (work, shown), one, row, spared in zip(questions, prompts, table, cached, strict=True):
            weights = row[: len(shown)]
            sound = bool(np.isfinite(weights.max()))  # a letter out of the question may be at minus infinity
            answers.append(tuple(int(place) for place in np.argsort(-weights, kind="stable")) if sound else ())
            work.note("ok" if sound else "fallback", bad=f"a likelihood that is not finite, at {_ranks(shown)}")
            work.usage += Usage(calls=1, prompt_tokens=one.tokens, cached_tokens=spared, seconds=seconds)
        return answers

    def _written(
        self,
        questions: Sequence[tuple[Work, Shown]],
        prompts: Sequence[Fitted],
        kept: Sequence[int],
        room: int,
        started: float,
    ) -> list[Places]:
        requests = [one.prompt for one in prompts]
        forms = [
            letters(prompt, len(shown), keep=keep)
            for prompt, (_, shown), keep in zip(requests, questions, kept, strict=True)
        ]
        completions = written(self._llm, requests, forms, max_tokens=room)
        seconds = (perf_counter() - started) / len(prompts)
        return [
            _read(work, shown, whole_reply(one.prompt, completion), keep, completion, seconds)
            for (work, shown), one, completion, keep in zip(questions, prompts, completions, kept, strict=True)
        ]

    def _reply_tokens(self, n: int, most: int) -> int:
        """Tokens of a reply that names `n` passages, and a few to spare."""
        if self._chooser is not None:
            return _SPARE
        reply = ", ".join(f"Passage {label}" for label in LABELS[: min(n, most)])
        full, empty = self._llm.count_tokens([[Message(role="user", content=text)] for text in (reply, "")])
        return full - empty + _SPARE


def _read(work: Work, shown: Shown, reply: str, keep: int, completion: Completion, seconds: float) -> Places:
    """The places that a reply names, `keep` at most, with what was wrong with it counted."""
    places, report = parse_labels(reply, len(shown))
    extra = max(0, len(places) - keep)
    missing = max(0, min(keep, len(shown)) - len(places))
    kind = "fallback" if not places else "ok" if report.ok and not extra and not missing else "repaired"
    work.note(
        kind,
        bad=f"a reply that names none of the passages at {_ranks(shown)}",
        unknown=report.unknown,
        repeated=report.repeated,
        missing=missing,
        extra=extra,
        prose=int(report.prose),
        cut_off=int(completion.finish_reason == "length"),
    )
    work.usage += usage_of(completion, seconds=seconds)
    return places[:keep]


def choosing(scoring: Scoring) -> tuple[str, ...]:
    """Methods beyond `LLM` that a model needs for this scoring, as `needs` of a reranker tells `rag check`."""
    return ("choose",) if scoring == "likelihood" else ()


def in_place(prompts: Sequence[Prompt], words: Sequence[str]) -> list[str]:
    """Words as they stand where the answer begins: after a blank, if the answer is already begun."""
    begun = prompts[0][-1].role == "assistant"
    return [f" {word}" for word in words] if begun else list(words)


def whole_reply(prompt: Prompt, completion: Completion) -> str:
    """What the model wrote, with the beginning that the prompt gave it."""
    opening = f"{prompt[-1].content} " if prompt[-1].role == "assistant" else ""
    return opening + completion.text


def _ranks(shown: Shown) -> str:
    return f"ranks {', '.join(str(item + 1) for item in shown)}"
