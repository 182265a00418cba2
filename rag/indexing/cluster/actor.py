"""An actor: one copy of the model of one leg, on some node of a cluster."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rag.core.errors import IndexMismatch, MissingModel, RagError, StageError
from rag.core.plugins import load_plugin
from retrievers.index.manifest import ragline_version
from retrievers.index.settings import leg_kind
from retrievers.legs.protocol import Encodes
from retrievers.stores.computed import Columns, Compute

_FIRST_TEXTS = ["first"] * 8
"""More than any model reads in a lighter way while it is not loaded, which rounds otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What an actor needs to compute what the process that sent it would.

    `made_by`: what the maker of the leg describes of itself. `several`: blocks, so that the model is loaded for all alike.
    """

    leg: str
    made_by: Mapping[str, Any]
    several: bool
    version: str
    plugins: tuple[str, ...] = ()


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

    def __init__(self, task: Task, *, node: str = "") -> None:
        self._task, self._node = task, node or socket.gethostname()
        self._compute: Compute | None = None

    def load(self) -> Trouble | None:
        """Load the model, unless there is a single block; what is in the way."""
        try:
            self._compute = _compute_of(self._task)
            if self._task.several:
                self._compute(_FIRST_TEXTS)
        except RagError as error:
            return Trouble(node=self._node, error=error)
        return None

    def read(self, texts: list[str]) -> Columns | Trouble:
        """What the model makes of a block."""
        assert self._compute is not None  # nothing is sent before `load` came back
        try:
            return self._compute(texts)
        except RagError as error:
            return Trouble(node=self._node, error=error)


def _compute_of(task: Task) -> Compute:
    if task.version != ragline_version():
        raise IndexMismatch(
            f"ragline {ragline_version()} is installed there, and {task.version} where the index is built; give all nodes "
            "the same"
        )
    for name in task.plugins:
        load_plugin(name)
    kind = leg_kind(task.leg)
    assert isinstance(kind, Encodes)
    return kind.block_encoder(task.made_by)
