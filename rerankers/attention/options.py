"""The parameters of the attention reranker, and what they may be."""

from __future__ import annotations

import math
import os
import shutil
import sys
from dataclasses import dataclass
from typing import Literal

from rag.core.arguments import require_one_of, require_positive
from rag.core.protocols import LocalLLM
from rerankers.attention.reading.prompt import INSTRUCTIONS

BY = "rerank.attention"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionOptions:
    """What is read, where, and how much of it.

    Args:
        llm: a model in this process, with rotary positions.
        layout: blocks reads every document alone; prompt puts all into one prompt, as `rerank.icr` does, and reads the
            same heads there. Then order and company matter; max_tokens, max_query_tokens, span, over, step, margin,
            budget_ms and keep have no say; and there is an instruction, also before the one null.
        heads: auto takes the head set shipped for these weights, else one published for this model, else all heads.
            Or the name of a set that `rag heads list` knows, the path of one, or heads as "layer-head" from 0, such as
            "17-4".
        depth: how many of a ranking's first hits are read; the others follow in their order. None reads all.
        first_stage_weight: share of the first stage's standardised score in the final one; 0 is attention alone.
        max_tokens: of a document, title included.
        max_query_tokens: of a query.
        instruction: what the lead asks for: ie relevant information, qa an answer; none leaves it out.
        span: rows of the query that are read: its words, or lead, words and the end of the turn.
        nulls: queries without content, of which the mean counts; they are asked only if null_strength is not 0.
        null_instruction: whether the instruction stands before nulls too. Where it says itself what is relevant, the null
            would take that away again.
        null_strength: how much of what they get is taken off, of the prior or of each head; None takes the head set's.
        over: all tokens of a document count, or the best one; None takes the head set's.
        step: candidates read at a time where `margin` or `budget_ms` may end the reading early.
        margin: stop when the k-th best score leads the best of the last step by this many standard deviations.
        budget_ms: stop reading after this time; the unread follow in their order.
        keep: where documents' states stay: memory, disk (under the cache folder, across processes) or nowhere.
        keep_as: number format of kept states.
        keep_mb: most space they take.
        compiled: run the model's layers as torch.compile makes them, which pays where much is read and matrix products are
            fast (see docs/reference/results.md). The first call takes seconds, and it needs a C++ compiler.
    """

    llm: LocalLLM
    layout: Literal["blocks", "prompt"] = "blocks"
    heads: str | tuple[str, ...] = "auto"
    depth: int | None = None
    first_stage_weight: float = 0.0
    max_tokens: int = 128
    max_query_tokens: int = 256
    instruction: Literal["ie", "qa", "none"] = "ie"
    span: Literal["words", "suffix"] = "words"
    nulls: tuple[str, ...] = ("N/A",)
    null_instruction: bool = True
    null_strength: float | None = None
    over: Literal["all", "best"] | None = None
    step: int = 20
    margin: float | None = None
    budget_ms: float | None = None
    keep: Literal["memory", "disk", "nowhere"] = "memory"
    keep_as: Literal["bfloat16", "int8"] = "bfloat16"
    keep_mb: int = 512
    compiled: bool = False

    def __post_init__(self) -> None:
        require_one_of(BY, (*INSTRUCTIONS, "none"), instruction=self.instruction)
        require_one_of(BY, ("blocks", "prompt"), layout=self.layout)
        require_one_of(BY, ("words", "suffix"), span=self.span)
        require_one_of(BY, ("memory", "disk", "nowhere"), keep=self.keep)
        require_one_of(BY, ("bfloat16", "int8"), keep_as=self.keep_as)
        require_one_of(BY, ("all", "best"), over=self.over)
        require_positive(
            BY, depth=self.depth, max_query_tokens=self.max_query_tokens, step=self.step, keep_mb=self.keep_mb
        )
        self._check_amounts()
        if self.layout == "prompt":
            self._check_prompt_layout()
        elif self.compiled:
            _require_compiler()

    def _check_amounts(self) -> None:
        if self.max_tokens < 8:
            raise ValueError(f"{BY}: max_tokens must be at least 8, got {self.max_tokens}")
        if not 0 <= self.first_stage_weight <= 1:
            raise ValueError(f"{BY}: first_stage_weight must be within 0 and 1, got {self.first_stage_weight}")
        for name, amount in (("margin", self.margin), ("budget_ms", self.budget_ms)):
            if amount is not None and not amount > 0:
                raise ValueError(f"{BY}: {name} must be above 0, got {amount}")
        if self.null_strength is not None and not math.isfinite(self.null_strength):
            raise ValueError(f"{BY}: null_strength must be finite, got {self.null_strength}")
        if self.null_strength and not self.nulls:
            raise ValueError(f"{BY}: a null_strength needs nulls")

    def _check_prompt_layout(self) -> None:
        if self.instruction == "none" or len(self.nulls) > 1 or not self.null_instruction:
            raise ValueError(
                f"{BY}: layout: prompt has an instruction (ie or qa), also before the null, and one null; got "
                f"instruction={self.instruction!r}, nulls={self.nulls!r}, null_instruction={self.null_instruction}. Leave "
                "them as they are, or use layout: blocks."
            )
        if self.compiled:
            raise ValueError(f"{BY}: compiled is for layout: blocks")


def _require_compiler() -> None:
    """Return if torch.compile has what it builds its code with.

    Raises:
        ValueError: there is no C++ compiler where it looks for one.
    """
    command = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(command) is None:
        raise ValueError(
            f"rerank.attention: compiled: true needs a C++ compiler, and there is no {command}. Install it, name another one "
            "in the environment variable CXX, or set compiled: false."
        )
