"""Where the models of legs read texts: in the process that builds, or on a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from rag.core.cluster import Cluster
from rag.indexing.cluster.encoders import OnCluster
from retrievers.legs.protocol import Facts
from retrievers.stores.computed import Apply, in_this_process


class Encoders(Protocol):
    """A place where models read texts."""

    @property
    def n_elsewhere(self) -> Mapping[str, int]:
        """Leg -> texts that were read by other processes."""
        ...

    def apply_of(self, leg: str, made_by: Facts) -> Apply:
        """How blocks of texts of a leg are computed. `made_by`: what the maker of the leg describes of itself."""
        ...


class Here:
    """The process that builds."""

    @property
    def n_elsewhere(self) -> Mapping[str, int]:
        return {}

    def apply_of(self, leg: str, made_by: Facts) -> Apply:
        return in_this_process


def encoders_of(cluster: Cluster | None) -> AbstractContextManager[Encoders]:
    """The actors of a cluster, as long as the block; this process where there is none.

    Raises:
        MissingDependency: Ray is not installed.
        SpecError: nothing answers at the address.
    """
    return nullcontext(Here()) if cluster is None else OnCluster(cluster)
