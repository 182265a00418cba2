"""What a graph may say of the sparse leg: `index.sparse`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class SparseSettings(BaseModel):
    """Weighted terms of a masked language model: which model, and how its numbers become weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    model: str = Field(default="splade-tiny", description="A packaged model, a folder, or a hub id.")
    revision: str | None = Field(default=None, description="Hub revision.")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="Data type of the weights. auto: bfloat16 where the device is faster in it."
    )
    activation: Literal["auto", "log1p_relu", "log1p_log1p_relu", "elu1p"] = Field(
        default="auto",
        description="From a logit to a weight. auto: what the folder says, else log1p_relu (SPLADE); elu1p is VDR's.",
    )
    keep: int | None = Field(
        default=None,
        ge=1,
        description="Most terms of a text. Unset: all above 0, and 768 with elu1p, which has no zeros.",
    )
    text_tokens: int = Field(
        default=512, ge=1, description="Tokens of a text that are read; never more than the model can."
    )
    documents: Literal["model", "words"] = Field(
        default="model",
        description="words: a document is the set of its tokens, each with weight 1, and no model reads it (VDR's beta search).",
    )
