"""Which questions are not worth asking a model: learnt from questions whose answers were judged. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rag.stages.risk.logistic import Logistic, Signals, best_ridge, crossed, fit

KEPT = 0.95
"""Of the right answers that a gate is learnt from, the share that it lets be written."""
_LEAST = 10
"""Right answers, and questions that got none, that a gate is learnt from at the least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """A question is let through if its chance of a right answer, before anything is written, is at least `threshold`.

    `node`: the assembler whose passages the chance is read from.
    """

    node: str
    model: Logistic
    threshold: float

    def __call__(self, signals: Signals) -> bool:
        """Whether a question with these signals is let through."""
        return self.model(signals) >= self.threshold


def fit_gate(rows: Sequence[Signals], right: Sequence[bool], *, node: str) -> Gate | None:
    """A gate that lets nearly all through that were answered right, as models say that did not see them.

    Args:
        rows: signals before writing, of every question. `right`: whether its answer was given and right.
    Returns:
        None where too few were right or wrong to learn from, or where it would stop no question.
    """
    if min(sum(right), len(right) - sum(right)) < _LEAST:
        return None
    ridge = best_ridge(rows, right)
    chances = crossed(rows, right, ridge=ridge)
    kept = sorted(chance for chance, good in zip(chances, right, strict=True) if good)
    threshold = kept[int((1 - KEPT) * len(kept))]
    gate = Gate(node=node, model=fit(rows, right, ridge=ridge), threshold=threshold)
    return None if all(map(gate, rows)) else gate
