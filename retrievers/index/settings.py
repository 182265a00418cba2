"""What a graph's `index:` section may say, and what a manifest records of it.

These are requests. What an index was really built with (encoder hash, pooling, dimension, ...) is in its manifest, and
only the manifest configures the query side.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from rag.ingest.settings import ChunkSettings


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AnalyzerSettings(_Settings):
    """How text becomes terms."""

    language: str = Field(
        default="en",
        description="ISO 639-1 code. Chooses stop words and stemmer. Chinese characters are single terms in all.",
    )
    stemmer: Literal["auto", "porter", "snowball", "none"] = Field(
        default="auto",
        description="auto: Porter for en, Snowball for other languages that have one, none for the rest.",
    )
    stop_words: Literal["auto", "none"] = Field(
        default="auto", description="auto: Lucene's 33 words for en, none elsewhere."
    )


class LexicalSettings(_Settings):
    """BM25: variant and parameters."""

    variant: Literal["lucene", "robertson", "atire", "bm25l", "bm25+", "okapi", "l", "plus"] = Field(
        default="lucene",
        description="bm25s computes the first five; okapi, l and plus are rank-bm25's classes.",
    )
    k1: float = Field(default=0.9, gt=0)
    b: float = Field(default=0.4, ge=0, le=1)
    delta: float = Field(default=1.0, ge=0, description="Used by bm25l, bm25+, l and plus alone.")


class DenseSettings(_Settings):
    """Vectors: who encodes, and how they are kept."""

    encoder: str = Field(
        default="all-minilm-l6-v2",
        description="A packaged model, a sentence-transformers folder, or a hub id.",
    )
    revision: str | None = Field(default=None, description="Hub revision.")
    structure: Literal["flat", "hnsw"] = "flat"
    storage: Literal["float32", "int8"] = Field(
        default="float32", description="int8: faiss scalar quantisation; recall against float32 is measured when built."
    )
    compute: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="Data type of the encoder. auto: bfloat16 where the processor is fast at it."
    )


class PromptRepsSettings(_Settings):
    """A chat model's own representations: who makes them, from how much of a text, and how many words are kept."""

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


class TransformSettings(_Settings):
    """A corpus transform: changes what is indexed of each unit."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    use: str = Field(description="A name from `rag list transform`.")
    params: dict[str, Any] = Field(default_factory=dict, alias="with")


class IndexSettings(_Settings):
    """The `index:` section. Legs are not listed: those that the graph's retrievers use are built."""

    analyzer: AnalyzerSettings = AnalyzerSettings()
    bm25: LexicalSettings = LexicalSettings()
    dense: DenseSettings = DenseSettings()
    promptreps: PromptRepsSettings = PromptRepsSettings()
    chunking: ChunkSettings = ChunkSettings()
    transforms: tuple[TransformSettings, ...] = ()


Leg = Annotated[Literal["lexical", "dense", "promptreps"], Field(description="A searchable part of an index.")]
