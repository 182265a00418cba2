"""Whether passages answer a question, asked of the model that would answer: one choice between two words."""

from __future__ import annotations

from collections.abc import Sequence

from rag.core.completions import choose_each
from rag.core.protocols import ChoosingLLM
from rag.core.types import Prompt, Usage
from rag.ingest.sentences import sentences
from rag.stages.cite import weights
from rag.stages.stretch import stems

_YES, _NO = "Yes", "No"
_USUAL = 1 / 3
"""Share of a question's words up to which nothing is made of it: a question in other words, or in another language."""


def log_odds(llm: ChoosingLLM, prompts: Sequence[Prompt]) -> list[tuple[float, Usage]]:
    """For each prompt the log-odds of Yes against No, above 0 where Yes is likelier, and what it cost."""
    return [(float(yes - no), usage) for (yes, no), usage in choose_each(llm, prompts, [_YES, _NO])]


def spared(question: str, texts: Sequence[str], relief: float) -> float:
    """How much lower the log-odds may be for the words of the question that a passage has: `relief` times the share beyond
    a third (ours).

    A small model doubts what it was not trained on, such as tables; a passage with most words of the question is seldom wrong.
    """
    return relief * max(0.0, _asked_words(question, texts) - _USUAL) if relief else 0.0


def _asked_words(question: str, texts: Sequence[str]) -> float:
    """The largest share of the question's words that one text has, each weighed by its rarity among all sentences."""
    held = [[stems(text[start:end]) for start, end in sentences(text)] for text in texts]
    asked, weigh = stems(question), weights([words for own in held for words in own])
    whole = weigh(asked)
    return max((weigh(asked & set().union(*own)) for own in held), default=0.0) / whole if whole else 0.0
