"""The prior of a document: what heads pay to it where nothing is asked. It is taken off its score whatever is asked.

Some documents draw attention by themselves: long ones, lists, those that repeat a word. How much is best seen in heads
that a query should not be trusted with. It depends on the document alone, so it is computed once, when the document is
read, and kept beside its keys: for the price of a number per token, no query pays for those heads again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rerankers.attention.heads.layout import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """Queries without content, of which the mean counts, and (layer, head) -> weight of what each head pays for them."""

    nulls: tuple[str, ...]
    weights: Mapping[tuple[int, int], float]
    plan: Plan

    @property
    def in_clear(self) -> dict[str, object]:
        """All that it depends on beside the model and what stands before a query, as plain values."""
        weights = {f"{layer}-{head}": weight for (layer, head), weight in sorted(self.weights.items())}
        return {"nulls": list(self.nulls), "weights": weights}
