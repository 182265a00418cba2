"""A cluster as the place where the models of legs read texts. This process sends texts, and writes what comes back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import chain, islice
from types import TracebackType
from typing import Any

from rag.core.cluster import Cluster, connected, require_cluster
from rag.core.errors import SpecError
from rag.core.plugins import loaded_plugins
from rag.indexing.cluster.actor import Reader, Task
from rag.indexing.cluster.pool import Pool
from retrievers.index.manifest import ragline_version
from retrievers.legs.protocol import Facts
from retrievers.stores.computed import Apply, Columns, Compute


class OnCluster:
    """Actors for each leg that has texts to read, one leg at a time. Ray is connected when the first has some.

    `n_elsewhere`: leg -> texts that were read there.

    Raises:
        MissingDependency: Ray is not installed.
        SpecError: nothing answers at the address.
    """

    def __init__(self, cluster: Cluster) -> None:
        require_cluster(cluster, by="rag index --ray")
        self.n_elsewhere = Counter[str]()
        self._cluster, self._held = cluster, ExitStack()
        self._ray: Any = None

    def __enter__(self) -> OnCluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    def apply_of(self, leg: str, made_by: Facts) -> Apply:
        """See `rag.indexing.encoders.Encoders`."""
        return partial(self._apply, leg, made_by)

    def _apply(self, leg: str, made_by: Facts, compute: Compute, blocks: Iterable[list[str]]) -> Iterator[Columns]:
        left = iter(blocks)
        first = list(islice(left, 2))
        if not first:
            return
        task = Task(
            leg=leg,
            made_by=made_by,
            several=len(first) > 1,
            version=ragline_version(),
            plugins=loaded_plugins(),
        )
        ray = self._connected()
        pool = Pool(ray, partial(self._start, task), n_actors=self._cluster.actors if task.several else 1)
        self._held.callback(pool.close)
        yield from pool.read(self._counted(leg, chain(first, left)))

    def _counted(self, leg: str, blocks: Iterable[list[str]]) -> Iterator[list[str]]:
        for texts in blocks:
            self.n_elsewhere[leg] += len(texts)
            yield texts

    def _connected(self) -> Any:
        if self._ray is None:
            self._ray = self._held.enter_context(connected(self._cluster))
            _require_room(self._ray, self._cluster)
        return self._ray

    def _start(self, task: Task) -> Any:
        """An actor that is gone when it is lost: who takes its place, and its blocks, is for the pool to say."""
        n = str(self._cluster.cpus)
        actor = self._ray.remote(Reader).options(
            num_cpus=self._cluster.cpus,
            num_gpus=self._cluster.gpus,
            max_restarts=0,
            runtime_env={"env_vars": {"OMP_NUM_THREADS": n, "MKL_NUM_THREADS": n, "HF_HUB_OFFLINE": "1"}},
        )
        return actor.remote(task)


def _require_room(ray: Any, cluster: Cluster) -> None:
    """Raise SpecError unless an actor has room on some node; Ray would wait for one without a word."""
    nodes: list[dict[str, float]] = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(node.get("CPU", 0) >= cluster.cpus and node.get("GPU", 0) >= cluster.gpus for node in nodes):
        largest: dict[str, float] = max(nodes, key=lambda node: (node.get("GPU", 0), node.get("CPU", 0)), default={})
        raise SpecError(
            f"rag index --ray: an actor takes {cluster.cpus} processors and {cluster.gpus:g} GPUs, and no node of "
            f"'{cluster.address}' has them; the largest has {largest.get('CPU', 0):g} and {largest.get('GPU', 0):g}"
        )
