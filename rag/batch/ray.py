"""The same run on several machines: Ray Data moves batches through pools of actors, this process commits what comes back.

Ray decides where work runs, holds back what is too far ahead, and does the batches of a lost machine again; there is no
scheduler of ours. Questions are given to it a window at a time, so its store holds the texts of one window, and answers
and passages only while they are on their way. Ray pickles what it sends: whoever can reach the ports of a cluster can run
code on it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from rag.batch.done import BatchDone, batch_done
from rag.batch.pools import POOLS, advanced, begun, lightened, pools_of
from rag.core.cluster import Cluster, connected, last_line, require_cluster
from rag.core.errors import IndexMismatch, SpecError, StageError
from rag.core.node import BoundNode
from rag.core.plugins import load_plugin, loaded_plugins
from rag.core.report import RunResult
from rag.core.types import Query
from rag.graph.run import NOT_AN_ITEMS_FAULT
from rag.pipeline import Pipeline, load_pipeline
from rag.pipeline.identity import Identities, graph_identity, index_identity

WINDOW = 2000
"""Batches that Ray is given at a time. Actors begin anew with each window, so it is long beside the loading of a model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """What an actor needs to make the pipeline of the process that sent it.

    `parts`: hash of the graph without the weights in model folders, which that process may not have.
    """

    graph: dict[str, Any]
    index: str | None
    identities: Identities
    parts: str
    plugins: tuple[str, ...] = ()


def through_ray(
    batches: Iterable[list[Query]], pipeline: Pipeline, identities: Identities, cluster: Cluster
) -> Iterator[BatchDone]:
    """What is left of every batch, in order, when the pools are through with it.

    Raises:
        SpecError: nothing answers at the address.
        SpecError, MissingModel, IndexProblem, ...: as of a run on this machine; the first one ends the run.
        StageError: an actor or the cluster broke down for good.
    """
    require_cluster(cluster, by="rag batch --ray")
    index = None if pipeline.index is None else pipeline.index.address
    job = _Job(
        graph=pipeline.spec.graph.model_dump(mode="json", by_alias=True),
        index=index,
        identities=identities,
        parts=graph_identity(pipeline.graph, weights=False),
        plugins=loaded_plugins(),
    )
    pools = list(pools_of(pipeline.graph.up_to(pipeline.graph.output)))
    with _connected(cluster, n_pools=len(pools)) as ray:
        try:
            for window in _windows(batches):
                # Closed here, so that what moves a run that ends early has ended before Ray is left.
                with closing(iter(_moved(window, pools, job, cluster).iter_rows())) as rows:
                    for row in rows:
                        yield _opened(row)
        except ray.exceptions.RayError as error:
            raise StageError(f"rag batch --ray: the cluster gave up: {last_line(error)}") from error


def _windows(batches: Iterable[list[Query]]) -> Iterator[list[list[Query]]]:
    left = iter(batches)
    while window := list(islice(left, WINDOW)):
        yield window


def _moved(window: Sequence[list[Query]], pools: Sequence[str], job: _Job, cluster: Cluster) -> Any:
    """A Ray Dataset: these batches on their way through the pools, when it is read."""
    import ray.data

    data: Any = ray.data.from_items([{"parcel": begun(batch)} for batch in window], override_num_blocks=len(window))
    for pool in pools:
        data = data.map(
            _Worker,
            fn_constructor_args=(job, pool),
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=cluster.actors),
            num_cpus=cluster.cpus,
            num_gpus=cluster.gpus if pool != POOLS[0] else 0,
        )
    return data


class _Worker:
    """An actor: one pool of the graph. Indexes and weights load at its first batch."""

    def __init__(self, job: _Job, pool: str) -> None:
        self._job, self._pool = job, pool
        self._pipeline: Pipeline | None = None
        self._threads = ThreadPoolExecutor(max_workers=8, thread_name_prefix="ragline")

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        parcel = row["parcel"]
        if isinstance(parcel, RunResult):
            try:
                parcel = self._advanced(parcel)
            except NOT_AN_ITEMS_FAULT as error:  # told to the process that commits; the pools behind hand it on
                parcel = error
        return {"parcel": parcel}

    def _advanced(self, before: RunResult) -> RunResult | BatchDone:
        pipeline = self._loaded()
        order = pipeline.graph.up_to(pipeline.graph.output)
        pools = pools_of(order)
        result = advanced(before, pools[self._pool], threads=lambda: self._threads)
        later = [node for pool in list(pools)[list(pools).index(self._pool) + 1 :] for node in pools[pool]]
        if later:
            return lightened(result, still_read={source for node in later for source in node.inputs})
        return batch_done(_in_graph_order(result, order), self._job.identities)

    def _loaded(self) -> Pipeline:
        if self._pipeline is None:
            for name in self._job.plugins:
                load_plugin(name)
            pipeline = load_pipeline(self._job.graph, index=self._job.index)
            _require_same(self._job, pipeline)
            self._pipeline = pipeline
        return self._pipeline


def _require_same(job: _Job, pipeline: Pipeline) -> None:
    if index_identity(pipeline.index) != job.identities.index:
        raise IndexMismatch(f"'{job.index}' is another index on a machine of the cluster; give all the same files")
    if graph_identity(pipeline.graph, weights=False) != job.parts:
        raise SpecError("a machine of the cluster has other prompts, or another version of ragline; give all the same")


def _in_graph_order(result: RunResult, order: Iterable[BoundNode]) -> RunResult:
    """The reports as a run in one process gives them; pools may have worked in another order."""
    places = {node.name: place for place, node in enumerate(order)}
    owner, owners = "", dict[str, int]()
    for report in result.nodes:  # those of inner graphs follow the node that ran them
        owner = report.name if report.name in places else owner
        owners[report.name] = places[owner]
    return replace(result, nodes=tuple(sorted(result.nodes, key=lambda report: owners[report.name])))


def _opened(row: dict[str, Any]) -> BatchDone:
    done = row["parcel"]
    if isinstance(done, Exception):
        raise done
    if not isinstance(done, BatchDone):
        raise StageError(f"rag batch --ray: the last pool gave a {type(done).__name__}")
    return done


@contextmanager
def _connected(cluster: Cluster, *, n_pools: int) -> Iterator[Any]:
    """Ray, connected and told to keep the order of batches."""
    with connected(cluster, n_pools=n_pools) as ray:
        import ray.data

        logging.getLogger("ray.data").setLevel(logging.ERROR)
        context = ray.data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        yield ray
