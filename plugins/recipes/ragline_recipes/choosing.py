"""The common part of generators that do not write: the model says how likely each answer of a closed list is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from rag.protocols import ChoosingLLM
from rag.types import Answer, Context, Outcome, Prompt, Usage
from rag.writing import choose_each

Told = Callable[[Context, NDArray[np.float64]], Answer]
"""A context, and the log-probabilities of the list's answers, which make 1 together -> the answer, without its cost."""


def require_several(by: str, name: str, values: Sequence[str]) -> None:
    """Raise ValueError unless these are two or more different texts, none of them blank."""
    if len(set(values)) < 2 or len(set(values)) < len(values) or not all(each.strip() for each in values):
        raise ValueError(f"{by}: {name} must be two or more different ones, none empty, got {list(values)!r}")


def chosen(
    llm: ChoosingLLM, contexts: Sequence[Context], prompts: Sequence[Prompt], choices: Sequence[str], told: Told
) -> list[Answer]:
    """One answer per context, in order, from one call each, all in one batch. A model that breaks down fails an answer."""
    begun = perf_counter()
    rows = choose_each(llm, prompts, choices)
    seconds = (perf_counter() - begun) / max(1, len(contexts))
    return [
        replace(_answer(context, row, told), usage=usage + Usage(seconds=seconds))
        for context, (row, usage) in zip(contexts, rows, strict=True)
    ]


def _answer(context: Context, row: NDArray[np.float64], told: Told) -> Answer:
    if not np.isfinite(row).any():
        outcome = Outcome(kind="failed", detail="the model gave no answer of the list a probability")
        return Answer(query=context.query, text="", context=context, status="failed", outcome=outcome)
    logs = np.where(np.isfinite(row), row, -np.inf)
    return told(context, logs - np.logaddexp.reduce(logs))
