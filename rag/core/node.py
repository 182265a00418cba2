"""A node of a graph, ready to run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rag.core.protocols import ScoresDocuments


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundNode:
    """A node ready to run: `work` is its component's bound method. `runs_inner`: it may run graphs of its own on its way.

    `source`: what its rankings are called, which is its name in the graph that it stands in: parameters of a fuser name it so.
    `leaves_out`: counts of a reranker's outcome that say how many hits it left out. `scorers`: by which the lists of a fuser
    that wants so are completed: `work` has done it before it fuses.
    """

    name: str
    source: str
    use: str
    stage: str
    inputs: tuple[str, ...]
    work: Callable[..., list[Any]]
    gathers: bool
    k: int | None
    runs_inner: bool = False
    leaves_out: tuple[str, ...] = ()
    scorers: Mapping[str, ScoresDocuments] = field(default_factory=dict, hash=False)
