"""What a graph may say of the lexical leg: `index.bm25`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class LexicalSettings(BaseModel):
    """BM25: variant and parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    variant: Literal["lucene", "robertson", "atire", "bm25l", "bm25+", "okapi", "l", "plus"] = Field(
        default="lucene",
        description="The first five are weighed as in bm25s; okapi, l and plus are rank-bm25's classes.",
    )
    k1: float = Field(default=0.9, gt=0)
    b: float = Field(default=0.4, ge=0, le=1)
    delta: float = Field(default=1.0, ge=0, description="Used by bm25l, bm25+, l and plus alone.")
