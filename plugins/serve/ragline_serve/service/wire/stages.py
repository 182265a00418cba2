"""What each node of the graph did."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class OutcomeReply(BaseModel):
    kind: Literal["ok", "empty", "repaired", "fallback", "failed"]
    detail: str
    counts: dict[str, int]


class StageUsage(BaseModel):
    calls: int
    prompt_tokens: int
    cached_tokens: int
    new_tokens: int


class StageHit(BaseModel):
    """`from_rank`: the best rank among the inputs of the stage; null for a document that none of them had."""

    doc_id: str
    title: str
    rank: int
    score: float
    from_rank: int | None


class Stage(BaseModel):
    """What one node did. `seconds` are those of the batch, of which this request was one of `batch` records."""

    name: str
    use: str
    seconds: float
    batch: int
    outcomes: dict[str, int]
    counts: dict[str, int]
    usage: StageUsage
    hits: list[StageHit] | None = Field(default=None, description="Of stages that rank, the first twenty.")
