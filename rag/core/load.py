"""What a model is busy with now, for whoever watches it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Requests that are worked on, and those that wait for a place. `places`: most that are worked on; None has no bound."""

    busy: int
    waiting: int
    places: int | None = None


@runtime_checkable
class TellsLoad(Protocol):
    """A model in this process that counts the requests that it has."""

    def load(self) -> Load:
        """How many they are now. Loads nothing and waits for nobody."""
        ...
