"""How likely each outcome of a question about the future is, from what was known on a day."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

import prompts
from generators.choosing import chosen, require_several
from rag.core.arguments import require_positive
from rag.core.powers import require_choosing
from rag.core.protocols import ChoosingLLM
from rag.core.types import Answer, Context, Document, Outcome, Prompt
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
        require_several("generate.forecast", "outcomes", outcomes)
        self.llm, self.outcomes = require_choosing(llm, by="generate.forecast"), outcomes
        self.date, self.max_words = date, max_words
        self.prompt = prompts.load(prompt)
        self.prompt.require("news", "question", "outcomes", by="generate.forecast")

    def generate(self, contexts: Sequence[Context]) -> list[Answer]:
        """One answer per context, in order, without citations. One call each, all in one batch."""
        return chosen(self.llm, contexts, [self._render(each) for each in contexts], self.outcomes, self._told)

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

    def _told(self, context: Context, logs: NDArray[np.float64]) -> Answer:
        order = sorted(range(len(logs)), key=lambda place: (-logs[place], place))
        shares = ", ".join(f"{self.outcomes[place]} {np.exp(logs[place]):.1%}" for place in order)
        known = max((self._date_of(hit.document) for hit in context.passages), default="")
        return Answer(
            query=context.query,
            text=f"{shares} (as of {known})" if known else shares,
            context=context,
            likelihood=float(logs[order[0]]),
            outcome=Outcome(counts={"passages": len(context.passages)}),
        )
