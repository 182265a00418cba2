"""The parameters of in-context reranking, and what they may be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from rag.core.arguments import require_one_of, require_positive
from rag.core.protocols import LocalLLM
from rerankers.attention.heads.layout import parse_heads
from rerankers.attention.reading.prompt import INSTRUCTIONS
from rerankers.attention.reading.score import Pool

BY = "rerank.icr"


@dataclass(frozen=True, slots=True, kw_only=True)
class ICROptions:
    """What is read, and how it becomes a score.

    Args:
        llm: a model in this process; any decoder whose attention goes through transformers' attention
            functions.
        depth: how many of a ranking's first hits are reranked; the others follow in their order. None reranks
            all.
        instruction: late instruction before the query. qa asks for an answer, ie asks for relevant
            information.
        heads: heads to read, as "layer-head" from 0, such as "17-4". None reads all.
        head_weights: "layer-head" -> what its attention is multiplied by; 1 where it is not named.
        layers: first and last layer to read, from 0, both included. None reads all. No layer after the last
            one is run.
        null: the query without content.
        null_strength: how much of the null query's attention is subtracted.
        calibrate: false leaves out null query and token filter.
        token_filter_sigma: tokens this many standard deviations below their document's mean are left out of
            its score.
        order: reversed puts the best first-stage hit next to the query; given puts it first.
        pool: how token scores become a document's: their sum, mean, or the mean of the top_tokens highest.
        top_tokens: used by pool top_mean alone.
        max_words: words of a title, and of a text, that are read.
        window: documents per prompt; windows slide from the last hit to the first. None puts all into one
            prompt, or as many as the context window holds.
        stride: documents by which a window moves; half the window by default.
    """

    llm: LocalLLM
    depth: int | None = None
    instruction: Literal["qa", "ie"] = "ie"
    heads: tuple[str, ...] | None = None
    head_weights: Mapping[str, float] | None = None
    layers: tuple[int, int] | None = None
    null: str = "N/A"
    null_strength: float = 1.0
    calibrate: bool = True
    token_filter_sigma: float = 2.0
    order: Literal["reversed", "given"] = "reversed"
    pool: Pool = "sum"
    top_tokens: int = 8
    max_words: int = 300
    window: int | None = None
    stride: int | None = None

    def __post_init__(self) -> None:
        require_one_of(BY, tuple(INSTRUCTIONS), instruction=self.instruction)
        require_one_of(BY, ("reversed", "given"), order=self.order)
        require_one_of(BY, get_args(Pool), pool=self.pool)
        require_positive(BY, depth=self.depth, top_tokens=self.top_tokens, max_words=self.max_words)
        if not (self.token_filter_sigma >= 0 and math.isfinite(self.null_strength)):
            raise ValueError(
                f"{BY}: token_filter_sigma must be at least 0 and null_strength finite, got "
                f"{self.token_filter_sigma} and {self.null_strength}"
            )
        self._check_windows()
        self._check_heads()

    def _check_windows(self) -> None:
        window, stride = self.window, self.stride
        if window is not None and window < 2:
            raise ValueError(f"{BY}: window must be at least 2, got {window}")
        if stride is not None and (stride < 1 or (window is not None and stride >= window)):
            raise ValueError(
                f"{BY}: stride must be at least 1 and below window ({window}), got {stride}: "
                "windows that do not overlap cannot carry a document upward"
            )

    def _check_heads(self) -> None:
        first, last = self.layers or (0, 0)
        if not 0 <= first <= last:
            raise ValueError(f"{BY}: layers are (first, last) with 0 <= first <= last, got {self.layers}")
        heads, weights = self.by_layer, dict(self.head_weights or {})
        if weights:
            parse_heads(tuple(weights))
        unread = [] if self.heads is None else [name for name in weights if name not in self.heads]
        if unread or not all(map(math.isfinite, weights.values())):
            raise ValueError(
                f"{BY}: head_weights must be finite and of heads that are read, got {weights}"
                + (f", of which heads leaves out {', '.join(unread)}" if unread else "")
            )
        if heads and self.layers and not all(first <= layer <= last for layer in heads):
            raise ValueError(f"{BY}: heads must lie within layers {self.layers}, got {self.heads}")

    @property
    def by_layer(self) -> Mapping[int, tuple[int, ...]] | None:
        """The heads to read, by layer; None reads all."""
        return None if self.heads is None else parse_heads(self.heads)
