"""How documents are read and cut, as a graph's `index:` section says it."""

from __future__ import annotations

from math import inf
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator


class ReadSettings(BaseModel):
    """How files are read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ocr: bool = Field(
        default=False,
        description="Read pages of PDF that are pictures, and pictures where they are kept; needs ragline[ocr].",
    )
    figures: bool = Field(
        default=False,
        description="Keep pictures and tables that stand in documents, each as one of its own; needs ragline-media.",
    )
    languages: bool = Field(
        default=False,
        description="Tell the language of each document, as `lang` in its metadata, and count them.",
    )
    access: str | None = Field(
        default=None,
        min_length=1,
        description="Key of the metadata under which documents say who may read them; unset: everybody reads all.",
    )
    own_statistics: bool = Field(
        default=False,
        description="Score words for whoever asks as if there were nothing but what they may read.",
    )

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what nobody asks for, so that indexes built before are the same."""
        fields: dict[str, Any] = handler(self)
        for name in ("figures", "languages", "access", "own_statistics"):
            if not fields.get(name):
                fields.pop(name, None)
        return fields


class ChunkSettings(BaseModel):
    """How files are cut, and the documents of corpora."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tokens: int = Field(default=200, ge=16, description="Encoder tokens per chunk, title and headings not counted.")
    overlap: int = Field(
        default=30, ge=0, description="Encoder tokens shared with the chunk before; at most half of tokens."
    )
    corpora: bool | Literal["long"] = Field(
        default="long",
        description="Which documents of BEIR, FlashRAG and Pyserini corpora are cut as files are: the long ones, all (true), or "
        "none (false).",
    )
    cut: Literal["size", "meaning"] = Field(
        default="size",
        description="size fills chunks; meaning also ends them where the dense encoder finds neighbouring sentences least "
        "alike, without overlap.",
    )

    @property
    def corpus_tokens(self) -> float:
        """Encoder tokens up to which a document of a corpus stays whole: a quarter more than a chunk has, where long ones
        are cut."""
        if self.corpora == "long":
            return self.tokens + self.tokens // 4
        return 0 if self.corpora else inf

    @model_validator(mode="after")
    def _no_overlap_of_meanings(self) -> Self:
        if self.cut == "meaning" and "overlap" in self.model_fields_set and self.overlap:
            raise ValueError("chunks that are cut by meaning do not overlap; leave overlap out, or set it to 0")
        return self

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without `cut` where it is what it always was, so that indexes built before are the same; else without overlap.

        Without `corpora` where it is what it is by default: a graph that was written down may still be judged by documents.
        """
        fields: dict[str, Any] = handler(self)
        if self.corpora == "long":
            fields.pop("corpora", None)
        fields.pop("cut" if self.cut == "size" else "overlap", None)
        return fields
