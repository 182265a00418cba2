"""Embeddings, in OpenAI's format."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from rag.service.settings import LONGEST_LIST
from rag.service.wire.forms import ForeignForm, Listed, Text


class EmbeddingsRequest(ForeignForm):
    """Texts to encode, in OpenAI's format. `input_type` says which side of the encoder reads them."""

    model: str
    input: Text | Annotated[Listed[Text], Field(max_length=LONGEST_LIST)] = Field(min_length=1)
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: None = Field(default=None, description="Not taken: vectors have the encoder's own length.")
    input_type: Literal["query", "document"] = "document"

    @property
    def texts(self) -> list[str]:
        return [self.input] if isinstance(self.input, str) else self.input


class Embedding(BaseModel):
    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingsUsage(BaseModel):
    prompt_tokens: int
    total_tokens: int


class EmbeddingsReply(BaseModel):
    object: Literal["list"]
    model: str
    data: list[Embedding]
    usage: EmbeddingsUsage
