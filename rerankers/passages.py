"""Passages in a prompt: in one line each, cut by words until the prompt fits the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rag.core.protocols import LLM
from rag.core.types import Document, Prompt
from rag.core.words import first_words, in_one_line
from rerankers.labels import LABELS


def passage_text(document: Document, n: int) -> str:
    """Title and text up to `n` words, in one line, so that a passage cannot look like several."""
    return in_one_line(first_words(document.full_text, n))


def lettered(documents: Sequence[Document], words: int) -> str:
    """Passages under the letters A, B, C and so on."""
    shown = zip(LABELS, documents, strict=False)
    return "\n\n".join(f"Passage {label}: {passage_text(document, words)}" for label, document in shown)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A prompt that fits, its tokens, and whether its passages had to be cut further than was asked."""

    prompt: Prompt
    tokens: int
    shortened: bool


def fitted(llm: LLM, renders: Sequence[Callable[[int], Prompt]], *, words: int, rooms: Sequence[int]) -> list[Fitted]:
    """The prompts that `renders` make of a number of words per passage, with fewer words where one would not fit.

    Args:
        words: words per passage at most.
        rooms: for each prompt, tokens to leave free in the context window.
    """
    prompts = [render(words) for render in renders]
    limits = [llm.context_window - room for room in rooms]
    rows = zip(prompts, renders, llm.count_tokens(prompts), limits, strict=True)
    return [
        Fitted(prompt=prompt, tokens=tokens, shortened=False)
        if tokens <= limit
        else _shortened(llm, render, words=words, tokens=tokens, limit=limit)
        for prompt, render, tokens, limit in rows
    ]


def _shortened(llm: LLM, render: Callable[[int], Prompt], *, words: int, tokens: int, limit: int) -> Fitted:
    prompt = render(words)
    while tokens > limit and words > 1:
        words = max(1, min(words - 1, int(words * limit / tokens)))
        prompt = render(words)
        [tokens] = llm.count_tokens([prompt])
    return Fitted(prompt=prompt, tokens=tokens, shortened=True)
