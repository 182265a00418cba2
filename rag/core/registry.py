"""Name -> "module:Class", resolved at first use, so that a table of components can be read without loading any."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from rag.core.errors import RagError, SpecError, UnknownComponent, did_you_mean
from rag.core.house import require_own_house
from rag.core.our_plugins import where_it_is
from rag.core.plugins import loaded, note_registration, shipped, where_others_are

log = logging.getLogger(__name__)

Made = TypeVar("Made")


class Registry:
    """The components of one stage. The table is written in one place per stage; `add` is for users' own.

    Installed packages add theirs by entry points (`rag.core.plugins`), which are looked up when a name is not in the table.
    """

    def __init__(self, stage: str, table: Mapping[str, str]) -> None:
        self.stage = stage
        self._table: dict[str, str | type[Any]] = dict(table)
        self._own = frozenset(table)

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
            ours = where_it_is(f"{self.stage}.{name}")
            hint = ours or f"{did_you_mean(name, self._known())} {where_others_are(self.stage, name)}"
            raise UnknownComponent(f"no component named '{self.stage}.{name}'. {hint}") from None
        if isinstance(entry, str):
            require_own_house()
            try:
                entry = loaded(entry)
            except Exception as cause:
                if name in self._own:
                    raise
                raise self.broken(name, f"cannot be loaded from {entry}", cause) from cause
            self._table[name] = entry
        return entry

    def each(self, use: Callable[[str, Any], Made]) -> Iterator[Made]:
        """What is made of every component, by name. One that cannot be loaded or used is told in the log and left out: nobody
        asked for it by name, so all else goes on."""
        for name in self:
            try:
                component = self.get(name)
                try:
                    made = use(name, component)
                except Exception as cause:
                    raise self.broken(name, "cannot be used", cause) from cause
            except RagError as error:
                log.warning("left out: %s", error)
            else:
                yield made

    def broken(self, name: str, what: str, cause: Exception) -> SpecError:
        """What is told of a component of others that fails: whose it is, why, and what to do."""
        why = f"{type(cause).__name__}: {cause}"
        return SpecError(f"{self.stage}.{name} of {self.origin(name)} {what}: {why}. {self.remedy(name)}")

    def origin(self, name: str) -> str:
        """Who brought a component, in words."""
        if name in self._own:
            return "ragline"
        if name not in self._table or name in shipped(self.stage):
            return f"the installed plug-in '{shipped(self.stage)[name].package}'"
        entry = self._table[name]
        return f"the plug-in module '{entry.partition(':')[0] if isinstance(entry, str) else entry.__module__}'"

    def remedy(self, name: str) -> str:
        """What to do where a component of others cannot be used."""
        package = shipped(self.stage)[name].package if name in shipped(self.stage) else ""
        return f"Update it, or: pip uninstall {package}" if package else "Mend it there"

    def in_order(self, first: str | None = None) -> Iterator[str]:
        """Names: `first` where there is one, those of others, and ours in the order of the table.

        What installed packages ship is looked up behind a first one that is ours.
        """
        if first in self._own:
            yield first
        others = sorted(name for name in self._known() if name not in self._own)
        if first in others:
            yield first
        ours = (name for name in self._table if name in self._own)
        yield from (name for name in (*others, *ours) if name != first)

    def __contains__(self, name: object) -> bool:
        return name in self._table or name in self._known()

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._known()))

    def __len__(self) -> int:
        return len(self._known())

    def _known(self) -> dict[str, str | type[Any]]:
        """The table, and what installed packages ship under other names."""
        return {**{name: each.component for name, each in shipped(self.stage).items()}, **self._table}
