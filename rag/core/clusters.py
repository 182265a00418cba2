"""Other machines that work for this process: what is asked of them, and the table of those that plug-ins bring."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from rag.core.registry import Registry

CLUSTERS = Registry("cluster", {})
"""Name -> a class that is made of `address`, `actors`, `cpus` and `gpus`, and keeps `Cluster`."""


class RemoteWork(Protocol):
    """What an actor, a process of a cluster, does with one piece after the other. It is pickled on its way there."""

    @property
    def uses_model(self) -> bool:
        """Whether a model does it, so that a GPU is of use."""
        ...

    def start(self) -> Callable[[Any], Any]:
        """There, before the first piece: what each piece goes through.

        Raises:
            RagError: the actor's machine lacks what it takes.
        """
        ...


Read = Callable[[RemoteWork, Iterable[list[str]]], Iterator[Any]]
"""A work, and at least one block of texts for it -> what becomes of each, in order. Few blocks are taken ahead."""


class Cluster(Protocol):
    """Machines that take work of a process, and give back what comes of it. Whatever is lost there is done again."""

    def reading(self) -> AbstractContextManager[Read]:
        """What reads texts, for one work after the other. Nothing is started before the first has a block.

        Raises:
            SpecError: nothing answers at the address, or an actor has room nowhere.
            StageError: the cluster breaks down for good.
        """
        ...

    def through(self, works: Sequence[RemoteWork], pieces: Iterable[Any]) -> Iterator[Any]:
        """Each piece through all works, which go on at the same time, in the order of the pieces.

        Raises:
            SpecError: nothing answers at the address.
            StageError: the cluster breaks down for good.
        """
        ...
