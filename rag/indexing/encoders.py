"""Where the models of legs read texts: in the process that builds, or on a cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import ClassVar

from rag.core.clusters import Cluster, Read
from rag.core.errors import IndexMismatch
from rag.core.plugins import load_plugin, loaded_plugins
from retrievers.index.manifest import ragline_version
from retrievers.index.settings import leg_kind
from retrievers.legs.protocol import Encodes, Facts
from retrievers.stores.computed import Apply, Columns, Compute, in_this_process

_FIRST_TEXTS = ["first"] * 8
"""More than any model reads in a lighter way while it is not loaded, which rounds otherwise."""


class Encoders:
    """A place where models read texts: the process that builds, or what `read` sends them to.

    `n_elsewhere`: leg -> texts that were read by other processes.
    """

    def __init__(self, read: Read | None = None) -> None:
        self.n_elsewhere = Counter[str]()
        self._read = read

    def apply_of(self, leg: str, kind: str, made_by: Facts) -> Apply:
        """How blocks of texts of a leg are computed. `made_by`: what the maker of the leg describes of itself."""
        return in_this_process if self._read is None else partial(self._elsewhere, self._read, leg, kind, made_by)

    def _elsewhere(
        self, read: Read, leg: str, kind: str, made_by: Facts, compute: Compute, blocks: Iterable[list[str]]
    ) -> Iterator[Columns]:
        left = iter(blocks)
        if first := list(islice(left, 2)):
            reading = Reading(
                kind=kind, made_by=made_by, several=len(first) > 1, version=ragline_version(), plugins=loaded_plugins()
            )
            yield from read(reading, self._counted(leg, chain(first, left)))

    def _counted(self, leg: str, blocks: Iterable[list[str]]) -> Iterator[list[str]]:
        for texts in blocks:
            self.n_elsewhere[leg] += len(texts)
            yield texts


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What another process needs to compute of blocks what the process that sent it would.

    `kind`: of the leg. `made_by`: what its maker describes of itself. `several`: blocks, so that the model is loaded for all alike.
    """

    kind: str
    made_by: Facts
    several: bool
    version: str
    plugins: tuple[str, ...] = ()
    uses_model: ClassVar[bool] = True

    def start(self) -> Compute:
        """There: what reads a block.

        Raises:
            IndexMismatch: another version of ragline is there, or another model.
            MissingModel: the model is not there.
        """
        if self.version != ragline_version():
            raise IndexMismatch(
                f"ragline {ragline_version()} is installed there, and {self.version} where the index is built; give all "
                "nodes the same"
            )
        for name in self.plugins:
            load_plugin(name)
        kind = leg_kind(self.kind)
        assert isinstance(kind, Encodes)
        compute = kind.block_encoder(self.made_by)
        if self.several:
            compute(_FIRST_TEXTS)
        return compute


@contextmanager
def encoders_of(cluster: Cluster | None) -> Iterator[Encoders]:
    """Those of a cluster, as long as the block; this process where there is none.

    Raises:
        SpecError: nothing answers at the address.
    """
    if cluster is None:
        yield Encoders()
        return
    with cluster.reading() as read:
        yield Encoders(read)
