"""A cluster as the place where the models of legs read texts. This process sends texts, and writes what comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any

from rag.errors import SpecError
from rag.protocols import RemoteWork
from ragline_cluster.actor import Reader
from ragline_cluster.connecting import Actors
from ragline_cluster.pool import Pool

Read = Callable[[RemoteWork, Iterable[list[str]]], Iterator[Any]]


@contextmanager
def reading(cluster: Actors) -> Iterator[Read]:
    """What reads blocks of texts, in order, for one work at a time. Ray is connected when the first comes.

    Raises:
        SpecError: there is no such cluster, or an actor has no room.
    """
    with ExitStack() as held:

        @cache
        def ray() -> Any:
            found = held.enter_context(cluster.connected())
            _require_room(found, cluster)
            return found

        def read(work: RemoteWork, blocks: Iterable[list[str]]) -> Iterator[Any]:
            pool = Pool(ray(), lambda: _actor(ray(), work, cluster), n_actors=cluster.actors)
            held.callback(pool.close)
            return pool.read(iter(blocks))

        yield read


def _actor(ray: Any, work: RemoteWork, cluster: Actors) -> Any:
    """One that is gone when it is lost: who takes its place, and its blocks, is for the pool to say."""
    n = str(cluster.cpus)
    actor = ray.remote(Reader).options(
        num_cpus=cluster.cpus,
        num_gpus=cluster.gpus if work.uses_model else 0,
        max_restarts=0,
        runtime_env={"env_vars": {"OMP_NUM_THREADS": n, "MKL_NUM_THREADS": n, "HF_HUB_OFFLINE": "1"}},
    )
    return actor.remote(work)


def _require_room(ray: Any, cluster: Actors) -> None:
    """Raise SpecError unless an actor has room on some node; Ray would wait for one without a word."""
    nodes: list[dict[str, float]] = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(node.get("CPU", 0) >= cluster.cpus and node.get("GPU", 0) >= cluster.gpus for node in nodes):
        largest: dict[str, float] = max(nodes, key=lambda node: (node.get("GPU", 0), node.get("CPU", 0)), default={})
        raise SpecError(
            f"rag index --ray: an actor takes {cluster.cpus} processors and {cluster.gpus:g} GPUs, and no node of "
            f"'{cluster.address}' has them; the largest has {largest.get('CPU', 0):g} and {largest.get('GPU', 0):g}"
        )
