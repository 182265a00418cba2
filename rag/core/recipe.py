"""Which system of the literature a graph or a component is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Which system of the literature this is. A graph file says it as `recipe:`, a component as an attribute of its class."""

    __pydantic_config__: ClassVar = {"extra": "forbid", "use_attribute_docstrings": True}  # for graph files

    system: str
    """Its name."""
    source: str
    """Authors, venue, number of the paper."""


@runtime_checkable
class IsRecipe(Protocol):
    """A component that is a system by itself. A built-in graph says so for its parts; this is for those that none can use,
    as they need a file or a list of yours."""

    recipe: ClassVar[Recipe]


def recipe_of(component: object) -> Recipe | None:
    """The system that a component's class says it is, if any."""
    return component.recipe if isinstance(component, IsRecipe) else None
