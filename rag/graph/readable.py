"""The components that there are, apart from those that others ship and that cannot be loaded or read."""

from __future__ import annotations

from typing import Any

from rag.core.errors import SpecError
from rag.graph.kinds import TABLES
from rag.graph.signature import signature


def readable(stage: str) -> tuple[dict[str, type[Any]], list[str]]:
    """Name -> class of all components of a stage that can be used, and what is wrong with the others."""
    registry, method = TABLES[stage]
    good: dict[str, type[Any]] = {}
    broken: list[str] = []
    for name in registry:
        try:
            component = registry.get(name)
            signature(component, method)
        except SpecError as error:
            broken.extend(error.problems)
        except TypeError as error:
            broken.append(f"{stage}.{name} of {registry.origin(name)} cannot be used: {error}. {registry.remedy(name)}")
        else:
            good[name] = component
    return good, broken
