"""Settings of an encoder, where a graph says otherwise than the model's folder: `index.dense.encoding`.

It is meant for language models, whose folders say nothing of vectors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from retrievers.encoders.kinds import EncoderKind


class Encoding(BaseModel):
    """What is asked of an encoder. All that is unset is left to the folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    pooling: Literal["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"] | None = Field(
        default=None, description="From token vectors to one. Unset: what the folder says; mean where it is silent."
    )
    echo: bool = Field(
        default=False,
        description="Reads each text twice and pools the second copy, whose tokens have seen the whole text.",
    )
    attention: Literal["bidirectional"] | None = Field(
        default=None,
        description="bidirectional: tokens also see those after them, which a language model keeps hidden.",
    )
    query_prompt: str | None = Field(
        default=None, description="Put before each query and left out of pooling: an instruction, such as 'Query: '."
    )
    document_prompt: str | None = Field(default=None, description="The same for documents, which mostly have none.")
    max_tokens: int | None = Field(
        default=None, ge=1, description="Tokens of a text that are read; never more than the model can."
    )

    def said(self) -> dict[str, Any]:
        """What is set, as JSON. Empty where nothing is, so that what was described before it existed keeps its identity."""
        return self.model_dump(mode="json", exclude_defaults=True)


@runtime_checkable
class EncodesAsAsked(Protocol):
    """A kind of encoder that can do otherwise than its folder says."""

    def as_asked(self, encoding: Encoding) -> EncoderKind:
        """The same kind for the same folder, doing what is asked.

        Raises:
            SpecError: this folder cannot be read so.
        """
        ...
