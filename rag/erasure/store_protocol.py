"""Who takes documents out of a place beside the index."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Protocol

from rag.core.registry import Registry
from rag.erasure.erased_documents import Leaving


class Keeper(Protocol):
    """A kind of place that may hold what documents said. To add one, derive from this, and put it into `KEEPERS`."""

    name: ClassVar[str]

    def recognises(self, path: Path) -> bool:
        """Whether a path is of this kind. Reads little, and changes nothing.

        Raises:
            RagError: that cannot be told now.
        """
        ...

    def places(self, path: Path) -> Sequence[Path]:
        """The path, and what lies beside it and belongs to it. All of them are looked through; some may not be there."""
        return [path]

    def erase(self, path: Path, leaving: Leaving) -> str:
        """Take out what holds marks or names documents that go. What was done, as a sentence; again it does nothing.

        Raises:
            RagError: it cannot be done, such as where another process writes there.
        """
        ...

    def holds(self, path: Path, leaving: Leaving) -> Sequence[str]:
        """Ids of documents that go and are in what is here in a way that nothing can take out, such as what a model learnt."""
        return ()


KEEPERS = Registry(
    "keeper",
    {
        "batch": "rag.erasure.places:BatchKeeper",
        "model": "rag.erasure.taught:ModelsKeeper",
        "questions": "rag.erasure.places:QuestionsKeeper",
        "traces": "rag.erasure.places:TracesKeeper",
    },
)
"""Name -> who takes documents out of a place of its kind. Places of no kind are looked through alone."""
