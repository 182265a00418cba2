"""How documents are read and cut, as a graph's `index:` section says it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ReadSettings(BaseModel):
    """How files are read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ocr: bool = Field(default=False, description="Read pages of PDF that are pictures; needs ragline[ocr].")


class ChunkSettings(BaseModel):
    """How files are cut. BEIR-layout corpora are one document = one unit unless `corpora` is true."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tokens: int = Field(default=200, ge=16, description="Encoder tokens per chunk, title and headings not counted.")
    overlap: int = Field(
        default=30, ge=0, description="Encoder tokens shared with the chunk before; at most half of tokens."
    )
    corpora: bool = Field(default=False, description="Also cut the documents of BEIR, FlashRAG and Pyserini corpora.")
