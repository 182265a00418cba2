"""What a leg has to say so that a server can keep it: its vectors by row, the files beside them, and how it is searched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from rag.core.filters import Filter
from rag.core.types import Where
from retrievers.legs.protocol import Facts, Leg, Sections
from retrievers.servers.store import CollectionStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """An opened leg of a directory, as a server takes it.

    `vectors`: first row, row after the last -> a vector of each, dense or `Sparse`. `dim`: of dense ones. `files`: what
    searching needs beside them; each is made when it is written.
    """

    vectors: Callable[[int, int], Sequence[Any]]
    dim: int | None = None
    exact: bool = True
    files: Mapping[str, Callable[[], bytes]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOpening:
    """A leg on a server. `filter`: one over metadata as one over fields of points. `file`: of those that were uploaded.

    `has`: whether there is such a file: an older ragline uploaded fewer.
    """

    store: CollectionStore
    collection: str
    facts: Facts
    n: int
    filter: Callable[[Where | None], Filter | None]
    file: Callable[[str], bytes]
    has: Callable[[str], bool]


class ServerLegKind(Protocol):
    """How a server keeps a leg. Made without arguments; holds nothing."""

    name: ClassVar[str]
    """Of the leg, and of its vector in every point."""

    def refusal(self, settings: Sections) -> str:
        """Why a leg with these settings cannot be kept, and what to do; empty where it can."""
        return ""

    def upload(self, leg: Any) -> Upload: ...

    def open(self, opening: ServerOpening) -> Leg: ...
