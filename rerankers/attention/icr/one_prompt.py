"""The attention reranker's heads, read in one prompt that holds all candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from rag.core.protocols import LocalLLM
from rerankers.attention.heads.head_sets import HeadSet
from rerankers.attention.icr.reranker import ICRReranker
from rerankers.attention.reading.weigh import fused
from rerankers.attention.work import AttentionWork


def reader_of_one_prompt(
    llm: LocalLLM, heads: HeadSet, *, null: str, strength: float, instruction: Literal["ie", "qa"]
) -> ICRReranker:
    """`rerank.icr` with these heads, their weights and this strength of the null query."""
    return ICRReranker(
        llm=llm,
        heads=tuple(heads.weights),
        head_weights=heads.weights,
        instruction=instruction,
        null=null,
        null_strength=strength,
        calibrate=strength != 0,
    )


def read_in_one_prompt(reader: ICRReranker, works: Sequence[AttentionWork], *, first_stage_weight: float) -> None:
    """Give every work the scores that its first candidates get there, or what went wrong."""
    head_rankings = [replace(work.ranking, hits=work.head) for work in works]
    rankings = reader.rerank(head_rankings, k=max(len(each.hits) for each in head_rankings))
    for work, ranking in zip(works, rankings, strict=True):
        work.usage, work.prompt_outcome = ranking.usage, ranking.outcome
        if ranking.outcome.kind != "fallback":
            scores = {hit.doc_id: hit.score for hit in ranking.hits}
            attention = np.array([scores[hit.doc_id] for hit in work.head])
            before = np.array([hit.score for hit in work.head], dtype=np.float64)
            work.scores = fused(attention, before, weight=first_stage_weight)
