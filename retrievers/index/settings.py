"""What a graph's `index:` section may say, and what a manifest records of it.

These are requests. What an index was really built with (encoder hash, pooling, dimension, ...) is in its manifest, and
only the manifest configures the query side. Each leg brings its own part of the section.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache, reduce
from operator import or_
from types import GenericAlias
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    create_model,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from rag.ingest.settings import ChunkSettings, ReadSettings
from retrievers.analysis.settings import AnalyzerSettings
from retrievers.legs import LEGS
from retrievers.legs.protocol import KIND, Facts, LegKind

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_FOLDERS = frozenset({"documents", "parts", "removed"})
"""Names that an index has for something else than a leg."""


class TransformSettings(BaseModel):
    """A corpus transform: changes what is indexed of each unit."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    use: str = Field(description="A name from `rag list transform`.")
    params: dict[str, Any] = Field(default_factory=dict, alias="with")


class IndexSettings(BaseModel):
    """The `index:` section. It does not say which legs are built: those that the graph's retrievers use are.

    Beside the fields here it has a part for each leg of `LEGS`, under the name that the leg gives it. `legs`: further ones of the
    same kinds, by names of their own.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    analyzer: AnalyzerSettings = AnalyzerSettings()
    legs: dict[str, SerializeAsAny[BaseModel]] = {}
    reading: ReadSettings = ReadSettings()
    chunking: ChunkSettings = ChunkSettings()
    transforms: tuple[TransformSettings, ...] = ()

    def section(self, name: str) -> BaseModel:
        """A part of the section, defaults filled in. Of a leg with a name of its own it is what stands in `legs`.

        Raises:
            KeyError: no leg has a part of this name.
        """
        if name in self.legs:
            value = self.legs[name]
        elif name in type(self).model_fields:
            value = self.__dict__[name]
        else:
            value = (self.__pydantic_extra__ or {}).get(name) or legs_of_sections()[name].settings()
        return value

    def judging_documents(self) -> IndexSettings:
        """These settings with documents of corpora whole, unless they say which are cut: it is documents that are judged."""
        if "corpora" in self.chunking.model_fields_set:
            return self
        return self.model_copy(update={"chunking": self.chunking.model_copy(update={"corpora": False})})

    def with_section(self, name: str, fields: Mapping[str, object]) -> Self:
        """The settings with some fields of a part replaced."""
        if not fields:
            return self
        changed = self.section(name).model_copy(update=fields)
        return self.model_copy(update={"legs": self.legs | {name: changed}} if name in self.legs else {name: changed})

    def says(self, name: str) -> bool:
        """Whether this part was given, and is not only there by default."""
        return name in self.legs or name in self.model_fields_set

    def kind(self, leg: str) -> LegKind:
        """What a leg says of itself.

        Raises:
            UnknownComponent: there is no such leg.
        """
        return leg_kind(leg, dict(self.legs[leg]) if leg in self.legs else _NO_FACTS)

    def legs_of(self, kind: str) -> tuple[str, ...]:
        """Names that legs of a kind go by: its own, and those of `legs`."""
        return (kind, *(name for name, own in self.legs.items() if dict(own)[KIND] == kind))

    def ordered(self, legs: Iterable[str]) -> tuple[str, ...]:
        """Distinct legs in the order in which they are built: those of the table, and then those with names of their own.

        Raises:
            ValueError: none, or an unknown one.
        """
        wanted = list(legs)
        if set(wanted) - {*LEGS.names(), *self.legs}:
            LEGS.take_in()
        known = [*LEGS.names(), *self.legs]
        if not wanted or set(wanted) - set(known):
            raise ValueError(f"legs must be some of {', '.join(known)}; got {', '.join(wanted) or 'none'}")
        return tuple(name for name in known if name in wanted)

    def counted(self, legs: Iterable[str]) -> dict[str, Any]:
        """All that decides what an index with these legs is, as JSON."""
        kinds = [self.kind(leg) for leg in legs]
        names = {name for kind in kinds for name in (kind.section, *kind.also)}
        parts = {name: self.section(name).model_dump(mode="json") for name in sorted(names)}
        own = {name: parts.pop(name) for name in self.legs if name in parts}
        if own:
            parts["legs"] = own
        return parts | self.model_dump(mode="json", include={"reading", "chunking", "transforms"})

    @field_validator("legs")
    @classmethod
    def _named_apart(cls, legs: dict[str, BaseModel]) -> dict[str, BaseModel]:
        taken = {*LEGS.names(), *legs_of_sections(), *cls.model_fields, *_FOLDERS}
        for name in legs:
            if not _NAME.fullmatch(name) or name in taken:
                raise ValueError(
                    f"a leg cannot be called {name[:80]!r}: a name is of small letters, digits and _, begins with a letter, has "
                    f"at most 40 of them, and is none of {', '.join(sorted(taken))}"
                )
        return legs

    @model_validator(mode="wrap")
    @classmethod
    def _with_legs(cls, data: Any, handler: ModelWrapValidatorHandler[IndexSettings]) -> IndexSettings:
        """Check the whole as one record with a field per leg, so that all problems come at once."""
        if not isinstance(data, dict):
            return handler(data)
        if set(data) - set(settings_form().model_fields) or "legs" in data:
            LEGS.take_in()
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
        # What says nothing is not written: what was written before there was such a part stays what it is.
        if self.reading == ReadSettings():
            sections.pop("reading", None)
        if not self.legs:
            sections.pop("legs", None)
        order = list(settings_form().model_fields)
        return {name: sections[name] for name in sorted(sections, key=lambda name: order.index(name))}

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(settings_form().__pydantic_core_schema__)


_NO_FACTS: Facts = {}


def leg_kind(name: str, facts: Facts = _NO_FACTS) -> LegKind:
    """What a leg says of itself. `facts`: they say its kind, if it has a name of its own.

    Raises:
        UnknownComponent: there is no such leg.
    """
    own = str(facts.get(KIND, name))
    kind: LegKind = LEGS.get(own)()
    return kind if own == name else kind.called(name)


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
    kinds = list(map(leg_kind, legs))
    own = IndexSettings.model_fields
    fields: dict[str, Any] = {name: (own[name].annotation, own[name].default) for name in first}
    fields |= {kind.section: (kind.settings, kind.settings()) for kind in kinds}
    further: Any = Annotated[reduce(or_, map(_named, kinds)), Field(discriminator=KIND)]
    fields["legs"] = (
        GenericAlias(dict, (str, further)),
        Field(default={}, description="Further legs: a name, and its kind and settings."),
    )
    fields |= {name: (own[name].annotation, own[name].default) for name in last}
    return create_model(
        "IndexSettings",
        __config__=ConfigDict(extra="forbid", frozen=True),
        __doc__=(IndexSettings.__doc__ or "").partition("\n\n")[0],
        **fields,
    )


def _named(kind: LegKind) -> Any:
    """Settings of a leg of this kind that has a name of its own."""
    fields: dict[str, Any] = {KIND: (Literal[kind.name], ...)}
    return create_model(
        f"Named{kind.settings.__name__}",
        __base__=kind.settings,
        __doc__=f"A further leg of the kind {kind.name}.",
        **fields,
    )
