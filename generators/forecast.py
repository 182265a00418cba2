"""How likely each outcome of a question about the future is, from what was known on a day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

import prompts
from rag.core.arguments import require_positive
from rag.core.completions import cached_tokens
from rag.core.powers import require_choosing
from rag.core.protocols import ChoosingLLM
from rag.core.types import Answer, Context, Document, Outcome, Prompt, Usage
from rag.core.words import first_words, in_one_line
from rag.stages.passages import defused

_NO_NEWS = "There is no news on it."


class ForecastGenerator:
    """A forecast as a distribution with a date (after AutoCast++: Yan et al., ICLR 2024, arXiv 2310.01880).

    The model reads the question and the passages with their dates, the oldest first, and says how likely each outcome is;
    the answer tells them all, the first the likeliest, and the date of the latest passage. `Answer.likelihood` is the
    log-probability of the likeliest. Nothing is parsed. What may be known is for the filter of the query to say, such as
    `date <= 2025-10-16`: a passage that passes it is believed.

    Differs from the paper: its reader is trained, and numbers are forecast in bins; here outcomes are named and scored.

    Args:
        llm: the model; it must be able to choose from a closed list.
        outcomes: what may happen, at least two.
        prompt: name or path of a prompt with the variables news, question and outcomes.
        date: metadata field with the date of a passage, in ISO 8601.
        max_words: words of a passage that are shown.
    """

    def __init__(
        self,
        *,
        llm: ChoosingLLM,
        outcomes: tuple[str, ...] = ("Yes", "No"),
        prompt: str = "forecast",
        date: str = "date",
        max_words: int = 120,
    ) -> None:
        require_positive("generate.forecast", max_words=max_words)
        if len(set(outcomes)) < 2 or len(set(outcomes)) < len(outcomes) or not all(each.strip() for each in outcomes):
            raise ValueError(f"generate.forecast: outcomes must be two or more different ones, none empty: {outcomes}")
        self.llm, self.outcomes = require_choosing(llm, by="generate.forecast"), outcomes
        self.date, self.max_words = date, max_words
        self.prompt = prompts.load(prompt)
        self.prompt.require("news", "question", "outcomes", by="generate.forecast")

    def generate(self, contexts: Sequence[Context]) -> list[Answer]:
        """One answer per context, in order, without citations. One call each, all in one batch."""
        if not contexts:
            return []
        begun = perf_counter()
        rendered = [self._render(context) for context in contexts]
        table = self.llm.choose(rendered, self.outcomes).astype(np.float64)
        cached, counts = cached_tokens(self.llm, len(rendered)), self.llm.count_tokens(rendered)
        seconds = (perf_counter() - begun) / len(contexts)
        return [
            self._answer(context, row, Usage(calls=1, prompt_tokens=n, cached_tokens=kept, seconds=seconds))
            for context, row, n, kept in zip(contexts, table, counts, cached, strict=True)
        ]

    def _render(self, context: Context) -> Prompt:
        news = sorted((hit.document for hit in context.passages), key=self._date_of)
        told = "\n".join(self._line(document) for document in news)
        question = in_one_line(defused(context.query.asked))
        return self.prompt.render(news=told or _NO_NEWS, question=question, outcomes=" or ".join(self.outcomes))

    def _line(self, document: Document) -> str:
        text = in_one_line(defused(first_words(document.full_text, self.max_words)))
        return f"{self._date_of(document) or 'undated'}: {text}"

    def _date_of(self, document: Document) -> str:
        return str(document.metadata.get(self.date) or "")

    def _answer(self, context: Context, row: NDArray[np.float64], usage: Usage) -> Answer:
        answer = Answer(query=context.query, text="", context=context, usage=usage, status="failed")
        if not np.isfinite(row).any():
            return replace(answer, outcome=Outcome(kind="failed", detail="the model gave no outcome a probability"))
        logs = np.where(np.isfinite(row), row, -np.inf)
        logs = logs - np.logaddexp.reduce(logs)
        order = sorted(range(len(logs)), key=lambda place: (-logs[place], place))
        shares = ", ".join(f"{self.outcomes[place]} {np.exp(logs[place]):.1%}" for place in order)
        known = max((self._date_of(hit.document) for hit in context.passages), default="")
        return replace(
            answer,
            text=f"{shares} (as of {known})" if known else shares,
            status="answered",
            likelihood=float(logs[order[0]]),
            outcome=Outcome(counts={"passages": len(context.passages)}),
        )
