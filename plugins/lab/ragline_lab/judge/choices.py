"""One word of a few, from any model: weighed where it can choose from a closed list, else written and read."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np

from rag.protocols import LLM, ChoosingLLM
from rag.types import Prompt, SamplingParams
from rag.writing import choose_each, fitted, in_place, kept_forms, lacking, without_reasoning

_TOKENS = 8
_WORD = re.compile(r"\w+")


def chosen_words(
    llm: LLM, renders: Sequence[Callable[[int], Prompt]], choices: Sequence[str], *, words: int
) -> list[int | None]:
    """For each prompt the place of the word that the model says; None where it says none, or is not clear.

    Args:
        renders: what makes each prompt of a number of words per text; fewer are shown where a prompt would not fit.
        words: words per text at most.
    """
    if not renders:
        return []
    asked = [one.prompt for one in fitted(llm, renders, words=words, rooms=[_TOKENS] * len(renders))]
    if not lacking(llm, ["choose"]):
        rows = choose_each(cast(ChoosingLLM, llm), asked, in_place(asked, choices))
        return [int(np.argmax(row)) if np.isfinite(row).any() else None for row, _ in rows]
    said = tuple(in_place(asked, choices)) if "choices" in kept_forms(llm) else ()
    replies = llm.complete(asked, SamplingParams(max_tokens=_TOKENS, choices=said))
    return [read_choice(reply.text, choices) for reply in replies]


def read_choice(reply: str, choices: Sequence[str]) -> int | None:
    """The place of the only one of these words that a reply holds; None where it holds none, or several.

    >>> [read_choice(text, ("1", "2")) for text in ("2", "Answer 1.", "neither 1 nor 2", "both")]
    [1, 0, None, None]
    """
    folded = [choice.casefold() for choice in choices]
    held = {word for word in _WORD.findall(without_reasoning(reply).casefold()) if word in folded}
    return folded.index(held.pop()) if len(held) == 1 else None
