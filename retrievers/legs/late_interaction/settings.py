"""What a graph may say of the late interaction leg: `index.late_interaction`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from retrievers.encoders.by_language import BY_LANGUAGE


class LateInteractionSettings(BaseModel):
    """A vector for every token: by which model, and how exactly they are kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    model: str = Field(
        default=BY_LANGUAGE,
        description="A packaged model, a folder, or a hub id: a multi-vector model, or any plain sentence encoder. auto: as "
        "dense.encoder has it.",
    )
    revision: str | None = Field(default=None, description="Hub revision.")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="Data type of the weights. auto: bfloat16 where the device is faster in it and the folder is plain.",
    )
    language: str | None = Field(
        default=None,
        description="Language of all texts, for a model with an adapter for each (XMOD), as its configuration spells it.",
    )
    bits: Literal[1, 2, 4, 8] = Field(
        default=4, description="Of each number of what is left beside the nearest centroid."
    )
    dim: int | None = Field(
        default=128,
        ge=8,
        description="Most axes of the vectors that are kept: those on which they spread most. null: all.",
    )
