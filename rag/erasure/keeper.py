"""Who takes documents out of a place beside the index."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Protocol

from rag.erasure.leaving import Leaving


class Keeper(Protocol):
    """A kind of place that may hold what documents said. To add one, derive from this, and put it into `KEEPERS`."""

    name: ClassVar[str]

    def recognises(self, path: Path) -> bool:
        """Whether a path is of this kind. Reads little, and changes nothing."""
        ...

    def erase(self, path: Path, leaving: Leaving) -> str:
        """Take out what holds marks or names documents that go. What was done, as a sentence; again it does nothing.

        Raises:
            RagError: it cannot be done, such as where another process writes there.
        """
        ...
