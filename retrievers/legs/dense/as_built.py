"""The settings of an index as a graph is held against them: with what `structure: auto` came to in its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import cast

from pydantic import BaseModel

from retrievers.legs.dense.by_size import AUTO
from retrievers.legs.dense.settings import DenseSettings
from retrievers.legs.protocol import Difference, Facts, Sections

_LEFT = ("structure", "storage")
"""What auto leaves to the build: fields of the settings, and facts of the leg."""


@dataclass(frozen=True, slots=True)
class AsBuilt(Sections):
    """`settings`: as the index was asked for. `facts`: of its dense leg."""

    settings: Sections
    facts: Facts

    @property
    def _by_auto(self) -> bool:
        return cast(DenseSettings, self.settings.section("dense")).structure == AUTO

    def section(self, name: str) -> BaseModel:
        section = self.settings.section(name)
        if name != "dense" or not self._by_auto:
            return section
        return section.model_copy(update={field: self.facts[field] for field in _LEFT if field in self.facts})

    def says(self, name: str) -> bool:
        return self.settings.says(name)

    def explained(self, differences: Iterable[Difference]) -> Iterator[Difference]:
        """The same differences; those from what auto chose say so."""
        paths = {f"dense.{field}" for field in _LEFT} if self._by_auto else ()
        for each in differences:
            yield replace(each, built_by=f"structure: {AUTO}") if each.path in paths else each
