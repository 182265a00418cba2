"""Name -> "module:Class", resolved at first use, so that a table of components can be read without loading any."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from rag.core.errors import SpecError, UnknownComponent, did_you_mean
from rag.core.house import require_own_house
from rag.core.plugins import note_registration, shipped


class Registry:
    """The components of one stage. The table is written in one place per stage; `add` is for users' own.

    Installed packages add theirs by entry points (`rag.core.plugins`), which are looked up when a name is not in the table.
    """

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
        note_registration()

    def get(self, name: str) -> type[Any]:
        """The class registered as `name`.

        Raises:
            UnknownComponent: no such name; the message lists the nearest.
            MissingDependency: a foreign package hides one of ours.
        """
        try:
            entry = self._table[name] if name in self._table else self._known()[name]
        except KeyError:
            raise UnknownComponent(
                f"no component named '{self.stage}.{name}'. {did_you_mean(name, self._known())}"
            ) from None
        if isinstance(entry, str):
            require_own_house()
            module, _, attribute = entry.partition(":")
            try:
                entry = getattr(import_module(module), attribute)
            except (ImportError, AttributeError) as cause:
                if name in self._table:
                    raise
                raise SpecError(
                    f"{self.stage}.{name} is shipped as {module}:{attribute}, which fails: {cause}"
                ) from cause
            self._table[name] = entry
        return entry

    def __contains__(self, name: object) -> bool:
        return name in self._table or name in self._known()

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._known()))

    def __len__(self) -> int:
        return len(self._known())

    def _known(self) -> dict[str, str | type[Any]]:
        """The table, and what installed packages ship under other names."""
        return {**shipped(self.stage), **self._table}
