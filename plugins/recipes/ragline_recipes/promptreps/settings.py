"""What a graph may say of the promptreps leg: `index.promptreps`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class PromptRepsSettings(BaseModel):
    """A chat model's own representations: who makes them, from how much of a text, and how many words are kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    model: str = Field(default="smollm2-135m-instruct", description="A packaged model, a folder, or a hub id.")
    revision: str | None = Field(default=None, description="Hub revision.")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="Data type of the weights. auto: bfloat16 where the device is faster in it."
    )
    prompt: str = Field(
        default="promptreps",
        description="Name or path of a prompt with the variables noun and text, whose last turn the word would continue.",
    )
    text_tokens: int = Field(default=512, ge=1, description="Tokens of a text that are read.")
    sparse_tokens: int = Field(default=128, ge=1, description="Most tokens of a lexical representation.")
