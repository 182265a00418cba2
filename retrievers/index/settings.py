"""What a graph's `index:` section may say, and what a manifest records of it.

These are requests. What an index was really built with (encoder hash, pooling, dimension, ...) is in its manifest, and
only the manifest configures the query side. Each leg brings its own part of the section.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    SerializerFunctionWrapHandler,
    create_model,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from rag.ingest.settings import ChunkSettings, ReadSettings
from retrievers.analysis.settings import AnalyzerSettings
from retrievers.legs import LEGS
from retrievers.legs.protocol import LegKind


class TransformSettings(BaseModel):
    """A corpus transform: changes what is indexed of each unit."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    use: str = Field(description="A name from `rag list transform`.")
    params: dict[str, Any] = Field(default_factory=dict, alias="with")


class IndexSettings(BaseModel):
    """The `index:` section. Legs are not listed: those that the graph's retrievers use are built.

    Beside the fields here it has a part for each leg of `LEGS`, under the name that the leg gives it.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    analyzer: AnalyzerSettings = AnalyzerSettings()
    reading: ReadSettings = ReadSettings()
    chunking: ChunkSettings = ChunkSettings()
    transforms: tuple[TransformSettings, ...] = ()

    def section(self, name: str) -> BaseModel:
        """A part of the section, defaults filled in.

        Raises:
            KeyError: no leg has a part of this name.
        """
        if name in type(self).model_fields:
            value = self.__dict__[name]
        else:
            value = (self.__pydantic_extra__ or {}).get(name) or legs_of_sections()[name].settings()
        return value  # type: ignore[no-any-return]

    def judging_documents(self) -> IndexSettings:
        """These settings with documents of corpora whole, unless they say which are cut: it is documents that are judged."""
        if "corpora" in self.chunking.model_fields_set:
            return self
        return self.model_copy(update={"chunking": self.chunking.model_copy(update={"corpora": False})})

    def says(self, name: str) -> bool:
        """Whether this part was given, and is not only there by default."""
        return name in self.model_fields_set

    def counted(self, legs: Iterable[str]) -> dict[str, Any]:
        """All that decides what an index with these legs is, as JSON."""
        kinds = [leg_kind(leg) for leg in legs]
        names = {name for kind in kinds for name in (kind.section, *kind.also)}
        parts = {name: self.section(name).model_dump(mode="json") for name in sorted(names)}
        return parts | self.model_dump(mode="json", include={"reading", "chunking", "transforms"})

    @model_validator(mode="wrap")
    @classmethod
    def _with_legs(cls, data: Any, handler: ModelWrapValidatorHandler[IndexSettings]) -> IndexSettings:
        """Check the whole as one record with a field per leg, so that all problems come at once."""
        if not isinstance(data, dict):
            return handler(data)
        form = settings_form().model_validate(data)
        fields = dict(form)
        settings = handler({name: fields[name] for name in form.model_fields_set})
        extra = settings.__pydantic_extra__
        if extra is not None:
            of_shipped = [leg_kind(leg).section for leg in LEGS.shipped]
            extra |= {name: fields[name] for name in of_shipped if name not in extra}
        return settings

    @model_serializer(mode="wrap")
    def _in_order(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        sections = handler(self)
        if self.reading == ReadSettings():  # what says nothing is not written, so that older versions read the rest
            sections.pop("reading", None)
        order = list(settings_form().model_fields)
        return {name: sections[name] for name in sorted(sections, key=lambda name: order.index(name))}

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(settings_form().__pydantic_core_schema__)


def leg_kind(name: str) -> LegKind:
    """What a leg of the table `LEGS` says of itself.

    Raises:
        UnknownComponent: there is no such leg.
    """
    kind: LegKind = LEGS.get(name)()
    return kind


def legs_of_sections() -> dict[str, LegKind]:
    """Name of a part of the section -> the leg that it belongs to."""
    kinds = [leg_kind(leg) for leg in LEGS.names()]
    return {kind.section: kind for kind in kinds}


def settings_form() -> type[BaseModel]:
    """The section as one record, with the parts of all legs that there are now."""
    return _form(LEGS.names())


@lru_cache(maxsize=8)
def _form(legs: tuple[str, ...]) -> type[BaseModel]:
    first, last = ("analyzer",), ("reading", "chunking", "transforms")
    own = IndexSettings.model_fields
    fields: dict[str, Any] = {name: (own[name].annotation, own[name].default) for name in first}
    for kind in map(leg_kind, legs):
        fields[kind.section] = (kind.settings, kind.settings())
    fields |= {name: (own[name].annotation, own[name].default) for name in last}
    return create_model(
        "IndexSettings",
        __config__=ConfigDict(extra="forbid", frozen=True),
        __doc__=(IndexSettings.__doc__ or "").partition("\n\n")[0],
        **fields,
    )
