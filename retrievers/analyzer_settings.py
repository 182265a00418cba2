"""What a graph may say of how text becomes terms."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class AnalyzerSettings(BaseModel):
    """How text becomes terms."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    language: str = Field(
        default="en",
        description="ISO 639-1 code. Chooses stop words and stemmer. Chinese characters are single terms in all.",
    )
    stemmer: Literal["auto", "porter", "snowball", "lemmas", "none"] = Field(
        default="auto",
        description="auto: Porter for en, Snowball for other languages that have one, none for the rest. lemmas: the form that "
        "a dictionary has of a word, then what auto is; needs ragline[languages].",
    )
    stop_words: Literal["auto", "none"] = Field(
        default="auto", description="auto: Lucene's 33 words for en, none elsewhere."
    )
