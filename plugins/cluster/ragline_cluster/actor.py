"""An actor that reads texts: one copy of the model of one leg, on some node of a cluster."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rag.errors import IndexMismatch, MissingModel, RagError, StageError
from rag.protocols import RemoteWork


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What an actor cannot do, and where. It is sent back and not raised, as Ray would wrap it."""

    node: str
    error: RagError

    def raised(self) -> RagError:
        """The error to raise where the index is built."""
        said = f"rag index --ray: node {self.node}: {self.error}"
        if isinstance(self.error, MissingModel):
            return MissingModel(
                f"{said.rstrip('.')}. Every node needs the model, a folder at the same path; do it there"
            )
        return IndexMismatch(said) if isinstance(self.error, IndexMismatch) else StageError(said)


class Reader:
    """Reads blocks of texts. Ray makes one on a node; it knows nothing of Ray.

    Args:
        node: what the node is called in messages; its name and address where nobody says.
    """

    def __init__(self, work: RemoteWork, *, node: str = "") -> None:
        self._work, self._node = work, node or socket.gethostname()
        self._compute: Callable[[list[str]], Any] | None = None

    def load(self) -> Trouble | None:
        """Start the work; what is in the way."""
        try:
            self._compute = self._work.start()
        except RagError as error:
            return Trouble(node=self._node, error=error)
        return None

    def read(self, texts: list[str]) -> Any | Trouble:
        """What becomes of a block."""
        assert self._compute is not None  # nothing is sent before `load` came back
        try:
            return self._compute(texts)
        except RagError as error:
            return Trouble(node=self._node, error=error)
