"""What a graph may say of how text becomes terms."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer


class AnalyzerSettings(BaseModel):
    """How text becomes terms."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    language: str = Field(
        default="en",
        description="ISO 639-1 code. Chooses stop words and stemmer, and how Chinese is cut.",
    )
    stemmer: Literal["auto", "porter", "snowball", "lemmas", "none"] = Field(
        default="auto",
        description="auto: Porter for en, Snowball for other languages that have one, none for the rest. lemmas: the form that "
        "a dictionary has of a word, then what auto is; needs ragline[languages].",
    )
    stop_words: Literal["auto", "none"] = Field(
        default="auto", description="auto: Lucene's 33 words for en, none elsewhere."
    )
    cjk: Literal["auto", "characters", "bigrams", "both"] = Field(
        default="auto",
        description="Terms of text without spaces: Chinese, Japanese, Korean. auto: bigrams for zh, characters elsewhere.",
    )

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without `cjk` where it says nothing, so that graphs and indexes from before it are the same."""
        fields: dict[str, Any] = handler(self)
        if self.cjk == "auto":
            fields.pop("cjk", None)
        return fields
