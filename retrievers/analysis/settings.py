"""What a graph may say of how text becomes terms."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)

EACH = "each"
"""The language of a corpus of several: each document is analysed in its own."""
AUTO = "auto"
"""The language that the texts are in; `each` where they are in several. It is told when an index is built."""


class AnalyzerSettings(BaseModel):
    """How text becomes terms."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    language: str = Field(
        default=AUTO,
        description="ISO 639-1 code. Chooses stop words and stemmer, and how Chinese is cut. each: every document "
        "in its own language, as `lang` in its metadata says it. auto: what the texts are in when an index is first built, "
        "and each where they are in several.",
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
        description="Terms of text without spaces: Chinese, Japanese, Korean. auto: bigrams for zh and for "
        "language each, characters elsewhere.",
    )

    @property
    def says_language(self) -> bool:
        """Whether the language was given, and is not only there by default."""
        return "language" in self.model_fields_set

    @field_validator("language")
    @classmethod
    def _is_code(cls, language: str) -> str:
        if language not in (EACH, AUTO) and not re.fullmatch("[a-z]{2,3}", language):
            raise ValueError(
                f"language must be an ISO 639-1 code such as 'en' or 'zh', '{EACH}' for documents of several languages, "
                f"or '{AUTO}' for what the texts are in, got {language!r}"
            )
        return language

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without `cjk` where it says nothing, so that graphs and indexes from before it are the same."""
        fields: dict[str, Any] = handler(self)
        if self.cjk == "auto":
            fields.pop("cjk", None)
        return fields
