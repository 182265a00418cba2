"""Name -> "module:Class", resolved at first use, so that a table of components can be read without loading any."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from rag.core.errors import UnknownComponent, did_you_mean
from rag.core.house import require_own_house


class Registry:
    """The components of one stage. The table is written in one place per stage; `add` is for users' own."""

    def __init__(self, stage: str, table: Mapping[str, str]) -> None:
        self.stage = stage
        self._table: dict[str, str | type[Any]] = dict(table)

    def add(self, name: str, component: str | type[Any]) -> None:
        """Register a class, or "module:Class", under `stage.name`. A name can be taken once.

        Raises:
            ValueError: the name is taken.
        """
        if name in self._table:
            raise ValueError(f"{self.stage}.{name} is already registered; choose another name")
        self._table[name] = component

    def get(self, name: str) -> type[Any]:
        """The class registered as `name`.

        Raises:
            UnknownComponent: no such name; the message lists the nearest.
            MissingDependency: a foreign package hides one of ours.
        """
        try:
            entry = self._table[name]
        except KeyError:
            raise UnknownComponent(
                f"no component named '{self.stage}.{name}'. {did_you_mean(name, self._table)}"
            ) from None
        if isinstance(entry, str):
            require_own_house()
            module, _, attribute = entry.partition(":")
            entry = getattr(import_module(module), attribute)
            self._table[name] = entry
        return entry

    def __contains__(self, name: object) -> bool:
        return name in self._table

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._table))

    def __len__(self) -> int:
        return len(self._table)
