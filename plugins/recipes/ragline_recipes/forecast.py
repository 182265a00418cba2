"""How likely each outcome of a question about the future is, from what was known on a day."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

import prompts
from rag.protocols import ChoosingLLM
from rag.types import NO_USAGE, Answer, Context, Document, Outcome, Prompt, SamplingParams, Usage
from rag.writing import (
    Recipe,
    Written,
    defused,
    first_words,
    in_one_line,
    parse_passage,
    require_choosing,
    require_positive,
    write,
)
from ragline_recipes.choosing import chosen, require_several

_NO_NEWS = "There is no news on it."
_READ_WORDS = 600
"""Words of a passage that a summary is written of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _News:
    """What is shown of a context's passages, in their order, and what summaries cost."""

    texts: tuple[str, ...]
    counts: Mapping[str, int] = field(default_factory=dict, hash=False)
    usage: Usage = NO_USAGE


class ForecastGenerator:
    """A forecast as a distribution with a date (after AutoCast++: Yan et al., ICLR 2024, arXiv 2310.01880).

    The model reads the question and the passages with their dates, the oldest first, and says how likely each outcome is;
    the answer tells them all, the first the likeliest, and the date of the latest passage. `Answer.likelihood` is the
    log-probability of the likeliest. Nothing is parsed. What may be known is for the filter of the query to say, such as
    `date <= 2025-10-16`: a passage that passes it is believed.

    With `summary` the model first writes of each passage what bears on the question, and reads that in its place: one call
    more for each passage, all of a batch together. A passage of which it writes nothing usable is shown as it is and counted
    as `not_summarised`.

    Differs from the paper: its reader is trained, and numbers are forecast in bins; here outcomes are named and scored.

    Args:
        llm: the model; it must be able to choose from a closed list.
        outcomes: what may happen, at least two.
        prompt: name or path of a prompt with the variables news, question and outcomes.
        date: metadata field with the date of a passage, in ISO 8601.
        max_words: words of a passage that are shown.
        summary: name or path of a prompt with the variables question and passage, such as forecast_summary; null writes none.
        summary_tokens: most tokens of a summary.
    """

    recipe: ClassVar[Recipe] = Recipe(system="AutoCast++", source="Yan et al., ICLR 2024, arXiv 2310.01880")

    def __init__(
        self,
        *,
        llm: ChoosingLLM,
        outcomes: tuple[str, ...] = ("Yes", "No"),
        prompt: str = "forecast",
        date: str = "date",
        max_words: int = 120,
        summary: str | None = None,
        summary_tokens: int = 80,
    ) -> None:
        require_positive("generate.forecast", max_words=max_words, summary_tokens=summary_tokens)
        require_several("generate.forecast", "outcomes", outcomes)
        self.llm, self.outcomes = require_choosing(llm, by="generate.forecast"), outcomes
        self.date, self.max_words = date, max_words
        self.prompt = prompts.load(prompt)
        self.prompt.require("news", "question", "outcomes", by="generate.forecast")
        self.summary, self.summary_tokens = prompts.load(summary) if summary else None, summary_tokens
        if self.summary:
            self.summary.require("question", "passage", by="generate.forecast")

    def generate(self, contexts: Sequence[Context]) -> list[Answer]:
        """One answer per context, in order, without citations. One call each, all in one batch, after those of summaries.

        Outcome counts: `passages`, with summaries `summaries` and `not_summarised`.
        """
        news = self._summarised(contexts, self.summary) if self.summary else list(map(self._as_they_are, contexts))
        rendered = [self._render(*each) for each in zip(contexts, news, strict=True)]
        answers = chosen(self.llm, contexts, rendered, self.outcomes, self._told)
        return [
            replace(
                answer,
                usage=answer.usage + shown.usage,
                outcome=replace(answer.outcome, counts={**answer.outcome.counts, **shown.counts}),
            )
            for answer, shown in zip(answers, news, strict=True)
        ]

    def _as_they_are(self, context: Context) -> _News:
        return _News(texts=tuple(self._text(hit.document) for hit in context.passages))

    def _text(self, document: Document) -> str:
        return first_words(document.full_text, self.max_words)

    def _summarised(self, contexts: Sequence[Context], prompt: prompts.PromptTemplate) -> list[_News]:
        """Let the model write of every passage of every context, in one batch."""
        asked = [
            [prompt.render(question=_line(context.query.asked), passage=_line(first_words(text, _READ_WORDS)))]
            for context in contexts
            for text in (hit.document.full_text for hit in context.passages)
        ]
        params = SamplingParams(max_tokens=self.summary_tokens)
        written = iter(write(self.llm, asked, params, read=parse_passage) if asked else ())
        return [self._news_of(context, written) for context in contexts]

    def _news_of(self, context: Context, written: Iterator[Written]) -> _News:
        documents = [hit.document for hit in context.passages]
        replies = [next(written) for _ in documents]
        texts = [
            reply.texts[0] if reply.texts else self._text(document)
            for document, reply in zip(documents, replies, strict=True)
        ]
        missing = sum(not reply.texts for reply in replies)
        counts = {"summaries": len(replies) - missing} | ({"not_summarised": missing} if missing else {})
        return _News(texts=tuple(texts), counts=counts, usage=sum((reply.usage for reply in replies), NO_USAGE))

    def _render(self, context: Context, news: _News) -> Prompt:
        dated = zip((self._date_of(hit.document) for hit in context.passages), news.texts, strict=True)
        lines = [f"{date or 'undated'}: {_line(text)}" for date, text in sorted(dated, key=lambda one: one[0])]
        return self.prompt.render(
            news="\n".join(lines) or _NO_NEWS, question=_line(context.query.asked), outcomes=" or ".join(self.outcomes)
        )

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


def _line(text: str) -> str:
    return in_one_line(defused(text))
