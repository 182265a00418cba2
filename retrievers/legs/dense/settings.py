"""What a graph may say of the dense leg: `index.dense`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from generators.llm.server_keys import origin_of
from retrievers.encoders.by_language import BY_LANGUAGE
from retrievers.encoders.settings import Encoding
from retrievers.legs.dense.by_size import AUTO
from retrievers.legs.protocol import Difference, Facts, Sections
from retrievers.stores import STRUCTURES

_LEFT = ("structure", "storage")
"""What auto leaves to the build: fields of the settings, and facts of the leg."""


def _known(structure: str) -> str:
    if structure != AUTO and structure not in STRUCTURES:
        names = [repr(name) for name in _names()]
        expected = " or ".join((", ".join(names[:-1]), names[-1]))
        raise PydanticCustomError("unknown_structure", "Input should be {expected}", {"expected": expected})
    return structure


def _listed(schema: dict[str, Any]) -> None:
    schema["enum"] = _names()


def _names() -> list[str]:
    return [AUTO, *STRUCTURES]


Structure = Annotated[str, AfterValidator(_known), Field(json_schema_extra=_listed)]
"""A name of the table `STRUCTURES`, or `auto`."""


class ServedEncoderSettings(BaseModel):
    """An encoder behind a server, as a graph's `index.dense.encoder` names it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    url: str = Field(description="Where the server's /v1 begins, or the server itself.")
    model: str = Field(min_length=1, description="Its name at the server.")
    api: Literal["openai", "ollama", "tei"] = Field(default="openai", description="Which form of embeddings it speaks.")
    query_prompt: str = Field(default="", description="Put before each query, where the model wants that.")
    document_prompt: str = Field(default="", description="Put before each document.")
    api_key_variable: str | None = Field(
        default=None, description="Environment variable with the key; the operator says who may have it."
    )
    texts_per_request: int = Field(default=32, ge=1)
    requests_at_once: int = Field(default=4, ge=1, le=64)
    timeout_s: float = Field(default=120.0, gt=0)
    retries: int = Field(default=4, ge=0)

    @field_validator("url")
    @classmethod
    def _an_address(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")) or not origin_of(url).partition("://")[2]:
            raise ValueError(f"url must begin with http:// or https:// and name a server, got {url!r}")
        return url


class DenseSettings(BaseModel):
    """Vectors: who encodes, and how they are kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    encoder: str | ServedEncoderSettings = Field(
        default=BY_LANGUAGE,
        description="A packaged model, a sentence-transformers folder, a hub id, or {url, model} of one behind a server. auto: "
        "all-minilm-l6-v2 for English and for code, multilingual-e5-small for other languages, told when an index is first "
        "built.",
    )
    revision: str | None = Field(default=None, description="Hub revision.")
    structure: Structure = Field(
        default="flat",
        description="auto: structure and storage by how many bytes the vectors are, when they are laid out.",
    )
    storage: Literal["float32", "int8"] = Field(
        default="float32", description="int8: faiss scalar quantisation; recall against float32 is measured when built."
    )
    compute: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="Data type of the encoder. auto: bfloat16 where the processor is fast at it."
    )
    encoding: Encoding = Field(
        default=Encoding(), description="How texts go through the encoder, where not as its folder says."
    )

    @model_validator(mode="after")
    def _runs_here(self) -> DenseSettings:
        if isinstance(self.encoder, ServedEncoderSettings) and self.encoding.said():
            raise ValueError(
                "encoding is for a model that runs here. A server does what it does: leave encoding out, and put prompts"
                " into encoder (query_prompt, document_prompt)"
            )
        return self

    @model_validator(mode="after")
    def _leaves_both(self) -> DenseSettings:
        if self.structure == AUTO and "storage" in self.model_fields_set:
            raise ValueError(
                f"structure: auto chooses the storage too, so storage: {self.storage} cannot stand beside it. Leave storage "
                f"out, or name a structure: {', '.join(STRUCTURES)}"
            )
        return self

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without `encoding` where it asks for nothing: graphs and indexes from before it existed keep their identity.

        Without `storage` where auto chooses it.
        """
        said: dict[str, Any] = handler(self)
        if self.structure == AUTO:
            said.pop("storage", None)
        if not self.encoding.said():
            said.pop("encoding", None)
        return said


@dataclass(frozen=True, slots=True)
class AsBuilt(Sections):
    """Settings of an index as a graph is held against them: with what `structure: auto` came to in its place.

    `settings`: as the index was asked for. `own`, `facts`: section and facts of its dense leg.
    """

    settings: Sections
    own: str
    facts: Facts

    @property
    def _by_auto(self) -> bool:
        return cast(DenseSettings, self.settings.section(self.own)).structure == AUTO

    def section(self, name: str) -> BaseModel:
        section = self.settings.section(name)
        if name != self.own or not self._by_auto:
            return section
        return section.model_copy(update={field: self.facts[field] for field in _LEFT if field in self.facts})

    def says(self, name: str) -> bool:
        return self.settings.says(name)

    def explained(self, differences: Iterable[Difference]) -> Iterator[Difference]:
        """The same differences; those from what auto chose say so."""
        paths = {f"{self.own}.{field}" for field in _LEFT} if self._by_auto else ()
        for each in differences:
            yield replace(each, built_by=f"structure: {AUTO}") if each.path in paths else each
